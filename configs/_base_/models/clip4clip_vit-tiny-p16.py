_base_ = 'clip4clip_vit-base-p32.py'

# A CLIP small enough to train from scratch on two CPU cores in minutes.
model = dict(
    arch=dict(
        _delete_=True,
        embed_dim=128,
        vision_cfg=dict(
            image_size=64, patch_size=16, width=128, head_width=32, layers=4),
        text_cfg=dict(context_length=32, width=128, heads=4, layers=2)),
    pretrained=None,
    frozen_layers=-1,
    data_preprocessor=dict(
        mean=[122.771, 116.746, 104.093], std=[68.500, 66.632, 70.323]))
