"""Pure tensor functions: no registry, no module, no OpenMMLab import."""
from .agglomerative import agglomerative, check_agglomerative
from .alternation import kkz_init
from .cuts import cut_at_changes, frame_changes
from .density_peaks import check_density_peaks, density_peaks
from .distances import pairwise_distances, unit_normalize
from .graphs import (
    affinity,
    check_kernels,
    normalized_laplacian,
    spatial_temporal_locality,
)
from .kmedoids import check_kmedoids, kmedoids
from .masks import mask_or_all, segment_mask, weighted_mean
from .matching import (
    alternate,
    bipartite_matching,
    check_share,
    clip_matching,
    merge,
)
from .merging import cluster_mean, cluster_sum
from .repeats import repeated_pairs
from .run_lengths import check_threshold, pack, run_lengths
from .sampling import sparse_sampling
from .scores import largest, norms, novelty, similarity_to
from .shift import check_fold_div, temporal_shift
from .spectral import check_spectral, spectral_clustering, spectral_embedding

__all__ = ['affinity', 'agglomerative', 'alternate', 'bipartite_matching',
           'check_agglomerative', 'check_density_peaks', 'check_fold_div',
           'check_kernels', 'check_kmedoids', 'check_share', 'check_spectral',
           'check_threshold', 'clip_matching', 'cluster_mean', 'cluster_sum',
           'cut_at_changes', 'density_peaks', 'frame_changes', 'kkz_init', 'kmedoids',
           'largest', 'mask_or_all', 'merge', 'normalized_laplacian', 'norms',
           'novelty', 'pack', 'pairwise_distances', 'repeated_pairs', 'run_lengths',
           'segment_mask', 'similarity_to', 'sparse_sampling',
           'spatial_temporal_locality', 'spectral_clustering', 'spectral_embedding',
           'temporal_shift', 'unit_normalize', 'weighted_mean']
