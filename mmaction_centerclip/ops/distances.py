"""Distances between the tokens of one clustering problem."""
import math

import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_choice

DISTANCES = ('euclidean', 'cosine')


def unit_normalize(tokens: Tensor, eps: float = 1e-6) -> Tensor:
    """Divide each token by its L2 norm plus ``eps``, as CenterCLIP does."""
    return tokens / (tokens.norm(dim=-1, keepdim=True) + eps)


def pairwise_distances(tokens: Tensor, distance: str = 'euclidean',
                       p: float = 2.0) -> Tensor:
    """Distances (B, N, N) between all tokens (B, N, C) of each problem.

    Exactly symmetric with an exactly zero diagonal, whatever the rounding, so that the
    two members of a two-token cluster tie exactly. Half precision is computed in
    float32. ``'euclidean'`` is Minkowski of order ``p``, ``'cosine'`` 1 - cos, with
    1e-6 added to each norm.
    """
    check_choice('distance', distance, DISTANCES)
    check_order(p)
    with torch.autocast(tokens.device.type, enabled=False):
        return _distances(tokens if tokens.dtype == torch.float64 else tokens.float(),
                          distance, p)


def check_order(p: float) -> None:
    """Raise an InputError unless ``p`` is the order of a Minkowski distance."""
    if not isinstance(p, (int, float)) or not p > 0 or math.isnan(p):
        raise InputError(f'p must be positive, got {p!r}')


def _distances(tokens: Tensor, distance: str, p: float) -> Tensor:
    if distance == 'cosine':
        result = 1 - _symmetric_gram(unit_normalize(tokens))
        result = result.clamp_(min=0)
    elif p == 2 and tokens.dtype != torch.float64:
        result = squared_euclidean(tokens).sqrt_()
    else:
        # Differences, not products: torch.cdist otherwise turns to a matrix
        # product above 25 tokens, whose self-distances are not zero.
        result = torch.cdist(tokens, tokens, p=p,
                             compute_mode='donot_use_mm_for_euclid_dist')
    # Not through a view of the diagonal, which exporters cannot follow.
    itself = torch.eye(result.shape[1], dtype=torch.bool, device=result.device)
    return result.masked_fill_(itself, 0)


def _symmetric_gram(tokens: Tensor) -> Tensor:
    """Inner products (B, N, N), symmetric to the last bit."""
    gram = tokens @ tokens.mT
    return (gram + gram.mT).mul_(0.5)


def squared_euclidean(tokens: Tensor) -> Tensor:
    """Squared Euclidean distances, |x|^2 + |y|^2 - 2xy on centred tokens.

    Centring takes out the large part that tokens of one video share, which cancels
    badly. The norms come from the product itself: duplicates are at distance zero.
    """
    gram = _symmetric_gram(tokens - tokens.mean(dim=1, keepdim=True))
    squared = gram.diagonal(dim1=-2, dim2=-1)
    result = (squared[:, :, None] + squared[:, None, :]).sub_(gram, alpha=2)
    return result.clamp_(min=0)
