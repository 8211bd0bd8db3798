"""Pure tensor functions: no registry, no module, no OpenMMLab import."""
from .agglomerative import agglomerative
from .density_peaks import density_peaks
from .distances import kkz_init, pairwise_distances, unit_normalize
from .kmedoids import check_kmedoids, kmedoids
from .merging import (
    alternate,
    bipartite_matching,
    cluster_mean,
    cluster_sum,
    fuse_rest,
    fused,
    match_runs,
    merge,
    saliency,
)
from .selection import (
    largest,
    largest_share,
    norms,
    novelty,
    rarity,
    seeded_scores,
    similarity_to,
    sparse_sampling,
)
from .spectral import (
    affinity,
    normalized_laplacian,
    spatial_temporal_locality,
    spectral_clustering,
    spectral_embedding,
)
from .temporal import (
    cut_at_changes,
    frame_changes,
    mask_or_all,
    pack,
    repeated_pairs,
    run_lengths,
    segment_mask,
    temporal_shift,
    weighted_mean,
)

__all__ = ['affinity', 'agglomerative', 'alternate', 'bipartite_matching',
           'check_kmedoids', 'cluster_mean', 'cluster_sum', 'cut_at_changes',
           'density_peaks', 'frame_changes', 'fuse_rest', 'fused', 'kkz_init',
           'kmedoids', 'largest', 'largest_share', 'mask_or_all', 'match_runs', 'merge',
           'normalized_laplacian', 'norms', 'novelty', 'pack', 'pairwise_distances',
           'rarity', 'repeated_pairs', 'run_lengths', 'saliency', 'seeded_scores',
           'segment_mask', 'similarity_to', 'sparse_sampling',
           'spatial_temporal_locality', 'spectral_clustering', 'spectral_embedding',
           'temporal_shift', 'unit_normalize', 'weighted_mean']
