from .clip_weights import load_clip_weights, read_clip_weights
from .gather import gather_with_grad

__all__ = ['gather_with_grad', 'load_clip_weights', 'read_clip_weights']
