"""Hooks that a retriever needs, and that keep a training from going wrong."""
from .checkpoint import CheckCheckpointHook, ValidateResumedHook, WholeCheckpointHook
from .data import DataReportHook, SampleSeedHook
from .safeguards import CheckFiniteHook, ClampLogitScaleHook
from .scoring_head import ScoringHeadHook
from .token_visualization import TokenVisualizationHook

__all__ = ['CheckCheckpointHook', 'CheckFiniteHook', 'ClampLogitScaleHook',
           'DataReportHook', 'SampleSeedHook', 'ScoringHeadHook',
           'TokenVisualizationHook', 'ValidateResumedHook', 'WholeCheckpointHook']
