"""Token reducers, which stand between the blocks of a tower."""
from .base import TokenNeck, TokenReducer, build_necks, single_necks
from .baselines import (
    ClassSimilarityTokenDrop,
    DuplicateTokenDrop,
    NormTokenDrop,
    RandomTokenDrop,
    RareTokenDrop,
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
from .token_merging import (
    RunTokenMerging,
    SaliencyTokenMerging,
    TemporalTokenMerging,
    TokenMerging,
)
from .token_selection import TokenSelection

__all__ = ['AgglomerativeClustering', 'ClassSimilarityTokenDrop',
           'DensityPeakClustering', 'DuplicateTokenDrop', 'NormTokenDrop',
           'RandomTokenDrop', 'RareTokenDrop', 'RunLengthTokens', 'RunTokenMerging',
           'SaliencyTokenMerging', 'SegmentMeanPooling', 'SparseTokenSampling',
           'SpectralTokenClustering', 'TemporalShift', 'TemporalTokenMerging',
           'TokenClustering', 'TokenMerging', 'TokenNeck', 'TokenReducer',
           'TokenSelection', 'TokenShift', 'build_necks', 'single_necks']
