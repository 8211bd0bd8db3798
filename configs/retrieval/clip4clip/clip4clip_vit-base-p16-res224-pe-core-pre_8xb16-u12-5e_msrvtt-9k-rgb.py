_base_ = [
    '../../_base_/models/clip4clip_open-clip.py',
    '../../_base_/datasets/msrvtt-9k.py',
    '../../_base_/schedules/clip_5e.py',
    '../../_base_/default_runtime.py',
]

model = dict(arch='PE-Core-B-16', pretrained='meta')
train_dataloader = dict(batch_size=16)
