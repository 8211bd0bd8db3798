from .base import TokenNeck, TokenReducer, build_necks
from .baselines import (
    ClassSimilarityTokenDrop,
    DuplicateTokenDrop,
    NormTokenDrop,
    RandomTokenDrop,
    SegmentMeanPooling,
    SparseTokenSampling,
    TemporalShift,
    TokenShift,
)
from .run_lengths import RunLengthTokens
from .token_clustering import (
    AgglomerativeClustering,
    DensityPeakClustering,
    SpectralTokenClustering,
    TokenClustering,
)
from .token_merging import TemporalTokenMerging, TokenMerging
from .token_selection import TokenSelection

__all__ = ['AgglomerativeClustering', 'ClassSimilarityTokenDrop',
           'DensityPeakClustering', 'DuplicateTokenDrop', 'NormTokenDrop',
           'RandomTokenDrop', 'RunLengthTokens', 'SegmentMeanPooling',
           'SparseTokenSampling', 'SpectralTokenClustering', 'TemporalShift',
           'TemporalTokenMerging', 'TokenClustering', 'TokenMerging', 'TokenNeck',
           'TokenReducer', 'TokenSelection', 'TokenShift', 'build_necks']
