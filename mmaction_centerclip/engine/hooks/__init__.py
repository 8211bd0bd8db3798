from .clamp_logit_scale import ClampLogitScaleHook
from .data_report import DataReportHook
from .sample_seed import SampleSeedHook
from .scoring_head import ScoringHeadHook

__all__ = [
    'ClampLogitScaleHook', 'DataReportHook', 'SampleSeedHook', 'ScoringHeadHook'
]
