"""Pure tensor functions: no registry, no module, no OpenMMLab import."""
from .distances import pairwise_distances, unit_normalize
from .kmedoids import kkz_init, kmedoids
from .merging import cluster_mean, segment_mean_pooling
from .sampling import sparse_sampling
from .shift import temporal_shift, token_shift
from .spectral import (
    affinity,
    normalized_laplacian,
    spatial_temporal_locality,
    spectral_clustering,
    spectral_embedding,
)

__all__ = [
    'affinity', 'cluster_mean', 'kkz_init', 'kmedoids', 'normalized_laplacian',
    'pairwise_distances', 'segment_mean_pooling', 'sparse_sampling',
    'spatial_temporal_locality', 'spectral_clustering', 'spectral_embedding',
    'temporal_shift', 'token_shift', 'unit_normalize'
]
