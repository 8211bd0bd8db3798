_base_ = [
    '../../_base_/models/clip4clip_open-clip.py',
    '../../_base_/datasets/msrvtt-9k.py',
    '../../_base_/schedules/clip_5e.py',
    '../../_base_/default_runtime.py',
]

# SigLIP's loss, with the scale and the bias that its weights bring.
model = dict(
    arch='ViT-B-16-SigLIP2',
    pretrained='webli',
    head=dict(loss=dict(type='SigmoidLoss'), init_logit_bias=-10.))
train_dataloader = dict(batch_size=16)
