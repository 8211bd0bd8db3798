"""k-medoids++ on batches of tokens (CenterCLIP, arXiv 2205.00823, Sec. 3.3).

KKZ initialisation (Katsavounidis, Kuo and Zhang, 1994) and then the
alternation of assignment and medoid update, all segments at once, with
nothing larger than a (B, N, N) tensor.
"""

import torch
from torch import Tensor

from .distances import pairwise_distances, unit_normalize

__all__ = ['kmedoids', 'kkz_init']


def kmedoids(tokens: Tensor,
             num_centers: int,
             *,
             distance: str = 'euclidean',
             p: float = 2.0,
             pre_norm: bool = False,
             max_iters: int = 100,
             tol: float = 1e-6,
             first: Tensor | None = None,
             dtype: torch.dtype = torch.float32,
             chunk_size: int | None = None) -> tuple[Tensor, Tensor]:
    """Cluster each problem's tokens around ``num_centers`` of them.

    Deterministic and canonical: distances are symmetric with a zero
    diagonal, every tie goes to the lowest index, a medoid belongs to its own
    cluster, and the medoids are distinct even where tokens are not. A
    problem's result does not depend on its neighbours in the batch.

    Args:
        tokens (Tensor): Shape (B, N, C), any floating point dtype. No
            gradient flows through the decision; gather with the result.
        num_centers (int): K, from 1 to N.
        distance (str): ``'euclidean'`` or ``'cosine'``, see
            :func:`pairwise_distances`. Defaults to ``'euclidean'``.
        p (float): Order of the Minkowski distance. Defaults to 2.0.
        pre_norm (bool): Whether to give each token unit length first.
            Defaults to False.
        max_iters (int): Limit of update steps. Defaults to 100.
        tol (float): A problem is done when the Euclidean displacements of
            its medoids sum to less than this. Defaults to 1e-6.
        first (Tensor, optional): Forced first picks, int64 (B, ).
            Defaults to None: the token of the largest norm.
        dtype (torch.dtype): What distances are computed in; torch.float64
            is the exact mode. Defaults to torch.float32.
        chunk_size (int, optional): Problems worked on at a time, which
            bounds the memory. Defaults to None: all.

    Returns:
        tuple[Tensor, Tensor]: ``medoids`` int64 (B, K), ascending token
        indices, and ``assignment`` int64 (B, N), for each token the position
        of its medoid in ``medoids``.

    Raises:
        ValueError: If ``tokens`` is not (B, N, C), ``num_centers`` is not in
            1..N, or an option is out of range.
    """
    _check(tokens, num_centers, max_iters, chunk_size)
    with torch.no_grad(), torch.autocast(tokens.device.type, enabled=False):
        chunk_size = chunk_size or max(len(tokens), 1)
        firsts = [None] * len(tokens) if first is None else first.split(
            chunk_size)
        results = [
            _cluster(part, num_centers, distance, p, pre_norm, max_iters, tol,
                     chosen, dtype)
            for part, chosen in zip(tokens.split(chunk_size), firsts)
        ]
    if not results:
        empty = tokens.new_empty
        return (empty((0, num_centers), dtype=torch.long),
                empty((0, tokens.shape[1]), dtype=torch.long))
    medoids, assignment = zip(*results)
    return torch.cat(medoids), torch.cat(assignment)


def kkz_init(distances: Tensor, num_centers: int, first: Tensor) -> Tensor:
    """KKZ start: repeatedly the token farthest from its nearest pick.

    Args:
        distances (Tensor): Shape (B, N, N).
        num_centers (int): K, from 1 to N.
        first (Tensor): First pick of each problem, int64 (B, ).

    Returns:
        Tensor: The picks in pick order, int64 (B, K), distinct.
    """
    rows = torch.arange(len(distances), device=distances.device)
    picks = first.new_empty((len(distances), num_centers))
    picks[:, 0] = first
    nearest = distances[rows, first]
    # A picked token is out of the race for good: with duplicated tokens all
    # remaining distances are zero and the same index would win again.
    nearest[rows, first] = -torch.inf
    for k in range(1, num_centers):
        pick = nearest.argmax(dim=1)
        picks[:, k] = pick
        nearest = torch.minimum(nearest, distances[rows, pick])
        nearest[rows, pick] = -torch.inf
    return picks


def _check(tokens: Tensor, num_centers: int, max_iters: int,
           chunk_size: int | None) -> None:
    if tokens.ndim != 3 or not tokens.is_floating_point():
        raise ValueError(
            'tokens must be a floating point tensor of shape (B, N, C), got '
            f'{tokens.dtype} of shape {tuple(tokens.shape)}')
    if not 1 <= num_centers <= tokens.shape[1]:
        raise ValueError(
            f'num_centers must be from 1 to the {tokens.shape[1]} tokens of '
            f'a problem, got {num_centers!r}')
    if max_iters < 0:
        raise ValueError(f'max_iters must not be negative, got {max_iters!r}')
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f'chunk_size must be positive, got {chunk_size!r}')


def _cluster(tokens: Tensor, num_centers: int, distance: str, p: float,
             pre_norm: bool, max_iters: int, tol: float,
             first: Tensor | None,
             dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    tokens = tokens.detach().to(dtype)
    if pre_norm:
        tokens = unit_normalize(tokens)
    if first is None:
        first = tokens.norm(dim=-1).argmax(dim=1)
    # Tokens that overflowed upstream must not break the invariants.
    distances = pairwise_distances(tokens, distance, p).nan_to_num_(0)
    medoids = kkz_init(distances, num_centers, first)

    active = torch.ones_like(first, dtype=torch.bool)
    for _ in range(max_iters):
        updated = _update(distances, _assign(distances, medoids), medoids)
        updated = torch.where(active[:, None], updated, medoids)
        moved = _gather(tokens, updated) - _gather(tokens, medoids)
        active = active & (moved.norm(dim=-1).sum(dim=-1) >= tol)
        medoids = updated
        if not active.any():
            break
    medoids = medoids.sort(dim=1).values
    return medoids, _assign(distances, medoids)


def _gather(tokens: Tensor, indices: Tensor) -> Tensor:
    return tokens.gather(1, indices[..., None].expand(-1, -1,
                                                      tokens.shape[-1]))


def _assign(distances: Tensor, medoids: Tensor) -> Tensor:
    """Position (B, N) of each token's nearest medoid."""
    assignment = _gather(distances, medoids).argmin(dim=1)
    positions = torch.arange(medoids.shape[1], device=medoids.device)
    return assignment.scatter_(1, medoids, positions.expand_as(medoids))


def _update(distances: Tensor, assignment: Tensor, medoids: Tensor) -> Tensor:
    """Each cluster's member with the smallest summed distance (B, K)."""
    num_tokens = distances.shape[1]
    same = assignment[:, :, None] == assignment[:, None, :]
    cost = (distances * same).sum(dim=-1)
    lowest = cost.new_full(medoids.shape, torch.inf).scatter_reduce_(
        1, assignment, cost, 'amin')
    indices = torch.arange(num_tokens, device=medoids.device)
    indices = indices.where(cost == lowest.gather(1, assignment), num_tokens)
    return torch.full_like(medoids, num_tokens).scatter_reduce_(
        1, assignment, indices, 'amin')
