_base_ = [
    '../../_base_/models/clip4clip_vit-base-p32.py',
    '../../_base_/datasets/didemo.py',
    '../../_base_/schedules/clip_5e.py',
    '../../_base_/default_runtime.py',
]

model = dict(text_backbone=dict(context_length=64))
# CLIP4Clip's rates: 1e-4 for what is new, 1e-7 for CLIP's weights.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
