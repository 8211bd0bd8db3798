"""k-medoids++ on batches of tokens (CenterCLIP, arXiv 2205.00823, Sec. 3.3).

KKZ initialisation (Katsavounidis, Kuo and Zhang, 1994) and then the
alternation of assignment and medoid update, all segments at once, with
nothing larger than a (B, N, N) tensor.
"""

import functools
import importlib.util
import warnings

import torch
from torch import Tensor

from .distances import pairwise_distances, unit_normalize

__all__ = ['alternate', 'check_problem', 'kkz_init', 'kmedoids']


# How many update steps to take between two looks at whether all problems are
# done. A look makes the host wait for an accelerator; steps after the end
# change nothing.
_CHECK_EVERY = {'cpu': 1}

BACKENDS = ('auto', 'torch', 'triton')

# Why the fused kernel could not be compiled or launched in this process.
_FUSED_FAILURES: list[str] = []


def kmedoids(tokens: Tensor,
             num_centers: int,
             *,
             distance: str = 'euclidean',
             p: float = 2.0,
             pre_norm: bool = False,
             max_iters: int = 100,
             tol: float = 1e-6,
             first: Tensor | None = None,
             valid: Tensor | None = None,
             dtype: torch.dtype = torch.float32,
             chunk_size: int | None = None,
             backend: str = 'auto') -> tuple[Tensor, Tensor]:
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
        valid (Tensor, optional): False for padding, bool (B, N). Padding
            counts in no sum, and is a medoid only where fewer than K tokens
            are valid. Defaults to None: all are.
        dtype (torch.dtype): What distances are computed in; torch.float64
            is the exact mode. Defaults to torch.float32.
        chunk_size (int, optional): Problems worked on at a time, which
            bounds the memory. Defaults to None: all.
        backend (str): ``'torch'``; ``'triton'`` for one fused launch on an
            accelerator, in float32, without ``valid``, of up to 1024 tokens
            and 512 centers; ``'auto'`` for ``'triton'`` where it is installed,
            the tokens are on CUDA and it takes the problem, and ``'torch'``
            elsewhere. Defaults to ``'auto'``.

    Returns:
        tuple[Tensor, Tensor]: ``medoids`` int64 (B, K), ascending token
        indices, and ``assignment`` int64 (B, N), for each token the position
        of its medoid in ``medoids``.

    Raises:
        ValueError: If ``tokens`` is not (B, N, C), ``num_centers`` is not in
            1..N, or an option is out of range.
    """
    check_problem(tokens, num_centers, chunk_size)
    if max_iters < 0:
        raise ValueError(f'max_iters must not be negative, got {max_iters!r}')
    _check_backend(backend, valid, dtype)
    step = chunk_size or max(len(tokens), 1)
    results = []
    with torch.no_grad(), torch.autocast(tokens.device.type, enabled=False):
        for start in range(0, max(len(tokens), 1), step):
            part = slice(start, start + step)
            results.append(
                _cluster(tokens[part], num_centers, distance, p, pre_norm,
                         max_iters, tol, None if first is None else first[part],
                         None if valid is None else valid[part], dtype, backend))
    medoids, assignment = zip(*results)
    return torch.cat(medoids), torch.cat(assignment)


def kkz_init(distances: Tensor,
             num_centers: int,
             first: Tensor,
             valid: Tensor | None = None) -> Tensor:
    """KKZ start: repeatedly the token farthest from its nearest pick.

    Args:
        distances (Tensor): Shape (B, N, N).
        num_centers (int): K, from 1 to N.
        first (Tensor): First pick of each problem, int64 (B, ).
        valid (Tensor, optional): Bool (B, N), tokens to pick before any
            other. Defaults to None: all.

    Returns:
        Tensor: The picks in pick order, int64 (B, K), distinct.
    """
    # Rows by their number in all problems; a step costs little but its calls.
    flat = distances.flatten(0, 1)
    offsets = torch.arange(
        0, len(flat), distances.shape[1], device=first.device)
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


def check_problem(tokens: Tensor, num_centers: int,
                  chunk_size: int | None) -> None:
    """Raise ValueError unless ``num_centers`` can be chosen of ``tokens``."""
    if tokens.ndim != 3 or not tokens.is_floating_point():
        raise ValueError(
            'tokens must be a floating point tensor of shape (B, N, C), got '
            f'{tokens.dtype} of shape {tuple(tokens.shape)}')
    if not 1 <= num_centers <= tokens.shape[1]:
        raise ValueError(
            f'num_centers must be from 1 to the {tokens.shape[1]} tokens of '
            f'a problem, got {num_centers!r}')
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f'chunk_size must be positive, got {chunk_size!r}')


def _check_backend(backend: str, valid: Tensor | None,
                   dtype: torch.dtype) -> None:
    if backend not in BACKENDS:
        raise ValueError(
            f'backend must be one of {BACKENDS}, got {backend!r}')
    if backend == 'triton' and (valid is not None or dtype != torch.float32):
        raise ValueError("backend='triton' works in float32 and without valid, "
                         f'got {dtype}'
                         + ('' if valid is None else ' and valid'))


def _cluster(tokens: Tensor, num_centers: int, distance: str, p: float,
             pre_norm: bool, max_iters: int, tol: float,
             first: Tensor | None, valid: Tensor | None,
             dtype: torch.dtype, backend: str) -> tuple[Tensor, Tensor]:
    if first is None:
        # Of the raw tokens, which is the same choice: the norms after the
        # division are one up to 1e-6, and float32 cannot tell them apart.
        norms = torch.linalg.vector_norm(
            tokens.detach(), dim=-1, dtype=torch.float64)
        if valid is not None:
            norms = norms.masked_fill(~valid, -1)
        first = norms.max(dim=1).indices
    tokens = tokens.detach().to(dtype)
    if pre_norm:
        tokens = unit_normalize(tokens)
    distances = pairwise_distances(tokens, distance, p)
    if backend == 'triton' or backend == 'auto' and _takes_fused(
            distances, num_centers, valid):
        from .kmedoids_triton import alternate_fused
        euclidean = distance == 'euclidean' and p == 2
        try:
            return alternate_fused(
                distances.nan_to_num_(0), num_centers, first, max_iters,
                tol if euclidean else None)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if backend == 'triton':
                raise
            _give_up_on_fused(f'{type(error).__name__}: {error}')
    return alternate(distances, tokens, num_centers, first, valid, max_iters,
                     tol)


def _takes_fused(distances: Tensor, num_centers: int,
                 valid: Tensor | None) -> bool:
    if (not distances.is_cuda or valid is not None
            or distances.dtype != torch.float32 or _FUSED_FAILURES
            or not _has_triton()):
        return False
    from .kmedoids_triton import MAX_CENTERS, MAX_TOKENS
    return distances.shape[1] <= MAX_TOKENS and num_centers <= MAX_CENTERS


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec('triton') is not None


def _give_up_on_fused(reason: str) -> None:
    """Say once what keeps the fused kernel from running, and stop trying."""
    _FUSED_FAILURES.append(reason)
    warnings.warn(
        f"the fused k-medoids kernel does not run here ({reason}), so torch's "
        "operations are used; backend='torch' silences this",
        stacklevel=2)


def alternate(distances: Tensor, tokens: Tensor, num_centers: int,
              first: Tensor, valid: Tensor | None, max_iters: int,
              tol: float) -> tuple[Tensor, Tensor]:
    """KKZ and the alternation, on distances that are known.

    Args:
        distances (Tensor): Symmetric, zero diagonal, shape (B, N, N).
        tokens (Tensor): For the medoids' displacement, shape (B, N, C).
        num_centers (int): K.
        first (Tensor): First picks, int64 (B, ).
        valid (Tensor | None): As for :func:`kmedoids`.
        max_iters (int): As for :func:`kmedoids`.
        tol (float): As for :func:`kmedoids`.

    Returns:
        tuple[Tensor, Tensor]: As of :func:`kmedoids`.
    """
    # Tokens that overflowed upstream must not break the invariants.
    distances = distances.nan_to_num(0)
    medoids = kkz_init(distances, num_centers, first, valid)

    active = torch.ones_like(first, dtype=torch.bool)
    check_every = _CHECK_EVERY.get(distances.device.type, 8)
    for step in range(1, max_iters + 1):
        assignment = _assign(distances, medoids)
        updated = _update(distances, assignment, medoids, valid)
        updated = updated.where(active[:, None], medoids)
        if step % check_every == 0 and torch.equal(updated, medoids):
            break
        moved = _rows(tokens, updated) - _rows(tokens, medoids)
        active = active & (moved.norm(dim=-1).sum(dim=-1) >= tol)
        medoids = updated
    medoids = medoids.sort(dim=1).values
    return medoids, _assign(distances, medoids)


def _rows(matrices: Tensor, indices: Tensor) -> Tensor:
    """Rows (B, K, M) of matrices (B, N, M), several times gather's speed."""
    batch, count = matrices.shape[:2]
    offsets = torch.arange(
        0, batch * count, count, device=indices.device)[:, None]
    flat = matrices.flatten(0, 1).index_select(0, (indices + offsets).flatten())
    return flat.unflatten(0, indices.shape)


# Below, max() and min() along a dimension rather than argmax() and argmin():
# they promise the first of equal values too, and take a tenth of the time.


def _assign(distances: Tensor, medoids: Tensor) -> Tensor:
    """Position (B, N) of each token's nearest medoid."""
    assignment = _rows(distances, medoids).min(dim=1).indices
    positions = torch.arange(medoids.shape[1], device=medoids.device)
    return assignment.scatter_(1, medoids, positions.expand_as(medoids))


def _update(distances: Tensor, assignment: Tensor, medoids: Tensor,
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
