from .base import TokenNeck, TokenReducer, build_neck, build_necks
from .baselines import (
    SegmentMeanPooling,
    SparseTokenSampling,
    TemporalShift,
    TokenShift,
)
from .token_clustering import SpectralTokenClustering, TokenClustering
from .token_merging import TokenMerging
from .token_selection import TokenSelection

__all__ = ['SegmentMeanPooling', 'SparseTokenSampling', 'SpectralTokenClustering',
           'TemporalShift', 'TokenClustering', 'TokenMerging', 'TokenNeck',
           'TokenReducer', 'TokenSelection', 'TokenShift', 'build_neck', 'build_necks']
