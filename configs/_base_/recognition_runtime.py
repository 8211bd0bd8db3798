_base_ = 'mmaction::_base_/default_runtime.py'

custom_imports = dict(imports=['mmaction_centerclip'], allow_failed_imports=False)

# Those of default_runtime.py that a recogniser has a use for.
default_hooks = dict(
    checkpoint=dict(
        type='WholeCheckpointHook', interval=1, save_best='acc/top1', rule='greater'),
    check_checkpoint=dict(type='CheckCheckpointHook'),
    check_finite=dict(type='CheckFiniteHook'),
    validate_resumed=dict(type='ValidateResumedHook'))

randomness = dict(seed=42)
