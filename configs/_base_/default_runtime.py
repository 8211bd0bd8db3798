_base_ = 'mmaction::_base_/default_runtime.py'

# The one line that makes a config of this project work with any tool of the
# zoo: it repairs what the installed versions need and registers the modules.
custom_imports = dict(imports=['mmaction_centerclip'], allow_failed_imports=False)

# Fills in what the pipelines need to know of the model, and checks them.
runner_type = 'RetrievalRunner'

# Under names of their own, which custom_hooks of another config leave alone.
default_hooks = dict(
    checkpoint=dict(type='WholeCheckpointHook', interval=1, save_best=None),
    check_checkpoint=dict(type='CheckCheckpointHook'),
    check_finite=dict(type='CheckFiniteHook'),
    validate_resumed=dict(type='ValidateResumedHook'),
    sample_seed=dict(type='SampleSeedHook'),
    data_report=dict(type='DataReportHook'),
    clamp_logit_scale=dict(type='ClampLogitScaleHook'),
    scoring_head=dict(type='ScoringHeadHook'))

randomness = dict(seed=42)
