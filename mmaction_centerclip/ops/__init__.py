"""Pure tensor functions: no registry, no module, no OpenMMLab import."""
from .alternation import kkz_init
from .distances import pairwise_distances, unit_normalize
from .graphs import (
    affinity,
    check_kernels,
    normalized_laplacian,
    spatial_temporal_locality,
)
from .kmedoids import check_kmedoids, kmedoids
from .masks import mask_or_all, segment_mask, weighted_mean
from .matching import alternate, bipartite_matching, clip_matching, merge
from .merging import cluster_mean, cluster_sum
from .sampling import sparse_sampling
from .shift import check_fold_div, temporal_shift
from .spectral import check_spectral, spectral_clustering, spectral_embedding

__all__ = ['affinity', 'alternate', 'bipartite_matching', 'check_fold_div',
           'check_kernels', 'check_kmedoids', 'check_spectral', 'clip_matching',
           'cluster_mean', 'cluster_sum', 'kkz_init', 'kmedoids', 'mask_or_all',
           'merge', 'normalized_laplacian', 'pairwise_distances', 'segment_mask',
           'sparse_sampling', 'spatial_temporal_locality', 'spectral_clustering',
           'spectral_embedding', 'temporal_shift', 'unit_normalize', 'weighted_mean']
