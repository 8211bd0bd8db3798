from .base import TokenReducer, reduce_frame_mask
from .token_clustering import TokenClustering

__all__ = ['TokenClustering', 'TokenReducer', 'reduce_frame_mask']
