from .base import TokenNeck, TokenReducer, reduce_frame_mask
from .baselines import (
    SegmentMeanPooling,
    SparseTokenSampling,
    TemporalShift,
    TokenShift,
)
from .center_selection import CenterSelection
from .token_clustering import SpectralTokenClustering, TokenClustering

__all__ = [
    'CenterSelection', 'SegmentMeanPooling', 'SparseTokenSampling',
    'SpectralTokenClustering', 'TemporalShift', 'TokenClustering', 'TokenNeck',
    'TokenReducer', 'TokenShift', 'reduce_frame_mask'
]
