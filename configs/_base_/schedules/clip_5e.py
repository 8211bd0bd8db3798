# CenterCLIP's optimiser: CLIP's weights learn at 1e-3 of the rate of new ones.
# In mixed precision, whose defaults are float16 and a dynamic scale of the
# loss; without a GPU, --cfg-options optim_wrapper.type=OptimWrapper.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    constructor='CLIPOptimWrapperConstructor',
    optimizer=dict(
        type='AdamW', lr=5e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2),
    paramwise_cfg=dict(clip_lr_mult=1e-3),
    clip_grad=dict(max_norm=1.0))

param_scheduler = dict(
    type='LinearWarmupCosineLR',
    warmup_ratio=0.1,
    floor_ratio=2e-6,  # from 1e-8
    by_epoch=True,
    begin=0,
    end=5,
    convert_to_iter_based=True)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=5, val_begin=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# Default setting for scaling LR automatically
#   - `enable` means enable scaling LR automatically
#       or not by default.
#   - `base_batch_size` = (2 GPUs) x (64 samples per GPU), or (8) x (16).
auto_scale_lr = dict(enable=False, base_batch_size=128)
