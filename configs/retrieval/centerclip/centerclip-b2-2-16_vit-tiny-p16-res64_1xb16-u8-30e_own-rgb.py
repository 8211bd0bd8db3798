_base_ = [
    '../../_base_/models/clip4clip_vit-tiny-p16.py',
    '../../_base_/datasets/own.py',
    '../../_base_/schedules/shapes_10e.py',
    '../../_base_/default_runtime.py',
]

# From scratch, without a network; B2-2,16 as of the shapes.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=3,
            num_segments=2,
            num_centers=16)
    ]))
param_scheduler = dict(end=30)
train_cfg = dict(max_epochs=30, val_interval=30)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
