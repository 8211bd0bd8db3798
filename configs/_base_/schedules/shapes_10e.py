_base_ = 'clip_5e.py'

# For a CLIP that is trained from scratch, in float32, as without a GPU.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(clip_lr_mult=1.0))
param_scheduler = dict(end=10)
train_cfg = dict(max_epochs=10, val_interval=5)
auto_scale_lr = dict(base_batch_size=72)
