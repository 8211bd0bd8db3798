_base_ = 'clip_5e.py'

# ActivityNet: twice the rate, eight epochs.
optim_wrapper = dict(optimizer=dict(lr=1e-2))
param_scheduler = dict(floor_ratio=1e-6, end=8)
train_cfg = dict(max_epochs=8)
