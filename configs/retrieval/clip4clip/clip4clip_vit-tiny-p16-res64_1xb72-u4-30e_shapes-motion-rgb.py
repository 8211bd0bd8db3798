_base_ = [
    '../../_base_/models/clip4clip_vit-tiny-p16.py',
    '../../_base_/datasets/shapes-motion.py',
    '../../_base_/schedules/shapes_10e.py',
    '../../_base_/default_runtime.py',
]

# What it takes to see where a shape is.
model = dict(backbone=dict(init_position_std=0.9))
# Where something is has small gradients at first, which a larger eps hides.
optim_wrapper = dict(optimizer=dict(eps=1e-8, weight_decay=0.05))
# Where something is comes late; a rate that fell to zero would end before it.
param_scheduler = dict(
    _delete_=True,
    type='LinearLR',
    start_factor=0.05,
    by_epoch=True,
    end=2,
    convert_to_iter_based=True)
train_cfg = dict(max_epochs=30, val_interval=10)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
