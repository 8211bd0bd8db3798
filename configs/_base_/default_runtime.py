_base_ = 'mmaction::_base_/default_runtime.py'

# The one line that makes a config of this project work with any tool of the
# zoo: it repairs what the installed versions need and registers the modules.
custom_imports = dict(
    imports=['mmaction_centerclip'], allow_failed_imports=False)

default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, save_best=None))
custom_hooks = [
    dict(type='SampleSeedHook'),
    dict(type='DataReportHook'),
    dict(type='ClampLogitScaleHook'),
    dict(type='ScoringHeadHook'),
]

randomness = dict(seed=42)
