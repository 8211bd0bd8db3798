from .check_checkpoint import CheckCheckpointHook
from .check_finite import CheckFiniteHook
from .clamp_logit_scale import ClampLogitScaleHook
from .data_report import DataReportHook
from .sample_seed import SampleSeedHook
from .scoring_head import ScoringHeadHook
from .token_visualization import TokenVisualizationHook
from .validate_resumed import ValidateResumedHook
from .whole_checkpoint import WholeCheckpointHook

__all__ = ['CheckCheckpointHook', 'CheckFiniteHook', 'ClampLogitScaleHook',
           'DataReportHook', 'SampleSeedHook', 'ScoringHeadHook',
           'TokenVisualizationHook', 'ValidateResumedHook', 'WholeCheckpointHook']
