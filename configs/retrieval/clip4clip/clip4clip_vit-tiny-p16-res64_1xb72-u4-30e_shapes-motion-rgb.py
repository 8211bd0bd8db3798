_base_ = [
    '../../_base_/models/clip4clip_vit-base-p32.py',
    '../../_base_/datasets/shapes-motion.py',
    '../../_base_/schedules/clip_5e.py',
    '../../_base_/default_runtime.py',
]

# The shapes config's CLIP, with what it takes to see where a shape is.
arch = dict(
    _delete_=True,
    embed_dim=128,
    vision_cfg=dict(
        image_size=64, patch_size=16, width=128, head_width=32, layers=4),
    text_cfg=dict(context_length=32, width=128, heads=4, layers=2))
model = dict(
    arch=arch,
    pretrained=None,
    frozen_layers=-1,
    backbone=dict(init_position_std=0.9))

optim_wrapper = dict(
    # Where something is has small gradients at first, which a larger eps hides.
    optimizer=dict(lr=1e-3, eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(clip_lr_mult=1.0))
max_epochs = 30
# Where something is comes late; a rate that fell to zero would end before it.
param_scheduler = dict(
    _delete_=True,
    type='LinearLR',
    start_factor=0.05,
    by_epoch=True,
    end=2,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=72)
