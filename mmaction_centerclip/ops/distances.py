"""Distances between the tokens of a clustering problem, and k-medoids on them.

Katsavounidis, Kuo and Zhang (1994); CenterCLIP, arXiv 2205.00823, Sec. 3.3.
"""
import math

import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_choice

DISTANCES = ('euclidean', 'cosine')
# How many update steps to take between two looks at whether all problems are
# done. A look makes the host wait for an accelerator; steps after the end
# change nothing.
_CHECK_EVERY = {'cpu': 1}


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


def kkz_init(distances: Tensor, num_centers: int, first: Tensor,
             valid: Tensor | None = None) -> Tensor:
    """KKZ start: repeatedly the token farthest from its nearest pick."""
    # Rows by their number in all problems; a step costs little but its calls.
    flat = distances.flatten(0, 1)
    offsets = torch.arange(0, flat.shape[0], distances.shape[1], device=first.device)
    picks = [first]
    nearest = flat.index_select(0, first + offsets)
    if valid is not None:
        nearest = nearest.masked_fill(~valid, -1)
    # A picked token is out of the race for good: with duplicated tokens all
    # remaining distances are zero and the same index would win again.
    nearest = nearest.scatter(1, first[:, None], -torch.inf)
    for _ in range(1, num_centers):
        pick = nearest.max(dim=1).indices
        picks.append(pick)
        nearest = torch.minimum(nearest, flat.index_select(0, pick + offsets))
        nearest.scatter_(1, pick[:, None], -torch.inf)
    return torch.stack(picks, dim=1)


def alternate(distances: Tensor, tokens: Tensor, num_centers: int,
              first: Tensor, valid: Tensor | None, max_iters: int,
              tol: float) -> tuple[Tensor, Tensor]:
    """Run KKZ and the alternation on known distances, see :func:`kmedoids`.

    ``distances`` (B, N, N) are symmetric with a zero diagonal.
    """
    # Tokens that overflowed upstream must not break the invariants.
    distances = distances.nan_to_num(0)
    medoids = kkz_init(distances, num_centers, first, valid)

    active = torch.ones_like(first, dtype=torch.bool)
    check_every = _CHECK_EVERY.get(distances.device.type, 8)
    for step in range(1, max_iters + 1):
        assignment = assign(distances, medoids)
        updated = update(distances, assignment, medoids, valid)
        updated = updated.where(active[:, None], medoids)
        if step % check_every == 0 and torch.equal(updated, medoids):
            break
        moved = _rows(tokens, updated) - _rows(tokens, medoids)
        active = active & (moved.norm(dim=-1).sum(dim=-1) >= tol)
        medoids = updated
    medoids = medoids.sort(dim=1).values
    return medoids, assign(distances, medoids)


def _rows(matrices: Tensor, indices: Tensor) -> Tensor:
    """Rows (B, K, M) of matrices (B, N, M), several times gather's speed."""
    batch, count = matrices.shape[:2]
    offsets = torch.arange(0, batch * count, count, device=indices.device)[:, None]
    flat = matrices.flatten(0, 1).index_select(0, (indices + offsets).flatten())
    return flat.unflatten(0, indices.shape)


# Below, max() and min() along a dimension rather than argmax() and argmin():
# they promise the first of equal values too, and take a tenth of the time.


def assign(distances: Tensor, medoids: Tensor) -> Tensor:
    """Position (B, N) of each token's nearest medoid (B, K), and a medoid's own."""
    assignment = _rows(distances, medoids).min(dim=1).indices
    positions = torch.arange(medoids.shape[1], device=medoids.device)
    return assignment.scatter_(1, medoids, positions.expand_as(medoids))


def update(distances: Tensor, assignment: Tensor, medoids: Tensor,
           valid: Tensor | None) -> Tensor:
    """Each cluster's member with the smallest summed distance (B, K)."""
    num_tokens = distances.shape[1]
    same = assignment[:, :, None] == assignment[:, None, :]
    if valid is not None:
        same &= valid[:, None, :]
    cost = distances.where(same, 0).sum(dim=-1)
    if valid is not None:
        cost = cost.masked_fill(~valid, torch.inf)
    lowest = cost.new_full(medoids.shape, torch.inf).scatter_reduce_(
        1, assignment, cost, 'amin')
    indices = torch.arange(num_tokens, device=medoids.device)
    indices = indices.where(cost == lowest.gather(1, assignment), num_tokens)
    return torch.full_like(medoids, num_tokens).scatter_reduce_(
        1, assignment, indices, 'amin')
