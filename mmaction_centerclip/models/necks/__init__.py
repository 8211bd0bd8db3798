from .base import TokenNeck, TokenReducer, build_neck
from .baselines import (
    SegmentMeanPooling,
    SparseTokenSampling,
    TemporalShift,
    TokenShift,
)
from .token_clustering import SpectralTokenClustering, TokenClustering
from .token_selection import TokenSelection

__all__ = ['SegmentMeanPooling', 'SparseTokenSampling', 'SpectralTokenClustering',
           'TemporalShift', 'TokenClustering', 'TokenNeck', 'TokenReducer',
           'TokenSelection', 'TokenShift', 'build_neck']
