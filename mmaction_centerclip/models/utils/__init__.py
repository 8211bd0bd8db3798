from .clip_weights import (
    fit_context,
    load_clip_weights,
    read_clip_weights,
    rename_clip_weights,
)
from .gather import gather_with_grad

__all__ = [
    'fit_context', 'gather_with_grad', 'load_clip_weights', 'read_clip_weights',
    'rename_clip_weights'
]
