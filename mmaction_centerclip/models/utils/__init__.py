from .drop_probs import use_plain_drop_probs
from .gather import gather_with_grad
from .strict_loading import load_strictly
from .weights_hash import hash_weights

__all__ = ['gather_with_grad', 'hash_weights', 'load_strictly', 'use_plain_drop_probs']
