from .hooks import ClampLogitScaleHook, DataReportHook, SampleSeedHook
from .optimizers import CLIPOptimWrapperConstructor
from .schedulers import LinearWarmupCosineLR

__all__ = [
    'CLIPOptimWrapperConstructor', 'ClampLogitScaleHook', 'DataReportHook',
    'LinearWarmupCosineLR', 'SampleSeedHook'
]
