_base_ = [
    '../../_base_/models/clip4clip_vit-base-p16.py',
    '../../_base_/datasets/msrvtt-9k.py',
    '../../_base_/schedules/clip_5e.py',
    '../../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=16)
