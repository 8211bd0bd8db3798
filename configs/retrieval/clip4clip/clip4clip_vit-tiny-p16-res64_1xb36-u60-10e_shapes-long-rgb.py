_base_ = [
    '../../_base_/models/clip4clip_vit-tiny-p16.py',
    '../../_base_/datasets/shapes-long.py',
    '../../_base_/schedules/shapes_10e.py',
    '../../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=36)
