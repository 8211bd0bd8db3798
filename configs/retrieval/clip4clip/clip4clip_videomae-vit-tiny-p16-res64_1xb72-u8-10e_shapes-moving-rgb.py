_base_ = 'clip4clip_vit-tiny-p16-res64_1xb72-u8-10e_shapes-moving-rgb.py'

# Attention joins all frames, as 4 tubelets of 2; there is no class token.
model = dict(
    backbone=dict(
        _delete_=True, type='VideoMAETower', img_size=64, patch_size=16, embed_dims=128,
        depth=4, num_heads=4, num_frames=8))
