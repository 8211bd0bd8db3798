_base_ = [
    '../../_base_/models/clip4clip_open-clip.py',
    '../../_base_/datasets/msrvtt-9k.py',
    '../../_base_/schedules/clip_5e.py',
    '../../_base_/default_runtime.py',
]

model = dict(arch='ViT-L-14', pretrained='datacomp_xl_s13b_b90k')
train_dataloader = dict(batch_size=16)
