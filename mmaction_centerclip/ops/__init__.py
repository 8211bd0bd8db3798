"""Pure tensor functions: no registry, no module, no OpenMMLab import."""
from .distances import pairwise_distances, unit_normalize
from .kmedoids import kkz_init, kmedoids

__all__ = ['kkz_init', 'kmedoids', 'pairwise_distances', 'unit_normalize']
