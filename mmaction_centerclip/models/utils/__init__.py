from .drop_probs import use_plain_drop_probs
from .gather import gather_with_grad
from .strict_loading import load_strictly

__all__ = ['gather_with_grad', 'load_strictly', 'use_plain_drop_probs']
