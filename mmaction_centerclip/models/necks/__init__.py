from .agglomerative import AgglomerativeClustering
from .base import TokenNeck, TokenReducer, build_neck, build_necks
from .baselines import (
    SegmentMeanPooling,
    SparseTokenSampling,
    TemporalShift,
    TokenShift,
)
from .density_peaks import DensityPeakClustering
from .run_lengths import RunLengthTokens
from .temporal_merging import TemporalTokenMerging
from .token_clustering import SpectralTokenClustering, TokenClustering
from .token_dropping import (
    ClassSimilarityTokenDrop,
    DuplicateTokenDrop,
    NormTokenDrop,
    RandomTokenDrop,
)
from .token_merging import TokenMerging
from .token_selection import TokenSelection

__all__ = ['AgglomerativeClustering', 'ClassSimilarityTokenDrop',
           'DensityPeakClustering', 'DuplicateTokenDrop', 'NormTokenDrop',
           'RandomTokenDrop', 'RunLengthTokens', 'SegmentMeanPooling',
           'SparseTokenSampling', 'SpectralTokenClustering', 'TemporalShift',
           'TemporalTokenMerging', 'TokenClustering', 'TokenMerging', 'TokenNeck',
           'TokenReducer', 'TokenSelection', 'TokenShift', 'build_neck', 'build_necks']
