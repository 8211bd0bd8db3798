_base_ = [
    '../../_base_/models/clip4clip_vit-base-p32.py',
    '../../_base_/datasets/msrvtt-full.py',
    '../../_base_/schedules/clip_5e.py',
    '../../_base_/default_runtime.py',
]
