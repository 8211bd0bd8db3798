from .clamp_logit_scale import ClampLogitScaleHook
from .data_report import DataReportHook
from .sample_seed import SampleSeedHook

__all__ = ['ClampLogitScaleHook', 'DataReportHook', 'SampleSeedHook']
