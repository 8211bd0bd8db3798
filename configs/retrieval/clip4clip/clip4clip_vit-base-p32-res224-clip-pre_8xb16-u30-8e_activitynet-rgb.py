_base_ = 'clip4clip_vit-base-p32-res224-clip-pre_8xb16-u60-8e_activitynet-rgb.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1]['clip_len'] = 30
test_pipeline = _base_.test_pipeline
test_pipeline[1]['clip_len'] = 30

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
