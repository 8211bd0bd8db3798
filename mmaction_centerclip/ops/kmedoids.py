"""k-medoids++ on batches of tokens (CenterCLIP, arXiv 2205.00823, Sec. 3.3)."""
import functools
import importlib.util
import warnings
from typing import Optional, Tuple  # noqa: UP035

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mmaction_centerclip.errors import InputError, check_choice, check_number

from .distances import (
    DISTANCES,
    alternate,
    check_order,
    pairwise_distances,
    unit_normalize,
)

BACKENDS = ('auto', 'torch', 'triton')

# Why the fused kernel could not be compiled or launched in this process.
_FUSED_FAILURES: list[str] = []


def kmedoids(tokens: Tensor, num_centers: int, *, distance: str = 'euclidean',
             p: float = 2.0, pre_norm: bool = False, max_iters: int = 100,
             tol: float = 1e-6, first: Tensor | None = None,
             valid: Tensor | None = None, dtype: torch.dtype = torch.float32,
             backend: str = 'auto') -> tuple[Tensor, Tensor]:
    """Cluster each problem's tokens around ``num_centers`` of them.

    Deterministic and canonical: distances are symmetric with a zero diagonal, every tie
    goes to the lowest index, a medoid belongs to its own cluster, and the medoids are
    distinct even where tokens are not. Returns ``medoids``, int64 (B, K), ascending
    token indices, and ``assignment``, int64 (B, N), each token's position in
    ``medoids``.

    Args:
        tokens (Tensor): Shape (B, N, C), floating point; the decision has no gradient.
        num_centers (int): K, from 1 to N.
        distance (str): ``'euclidean'`` or ``'cosine'``, see :func:`pairwise_distances`.
        p (float): Order of the Minkowski distance.
        pre_norm (bool): Whether to give each token unit length first.
        max_iters (int): Limit of update steps.
        tol (float): A problem is done when the Euclidean displacements of its medoids
            sum to less than this.
        first (Tensor, optional): First picks, int64 (B, ). None: the largest norm.
        valid (Tensor, optional): False for padding, bool (B, N), which counts in no
            sum, and is a medoid only where fewer than K tokens are valid.
        dtype (torch.dtype): What distances are computed in.
        backend (str): ``'triton'`` for one fused launch on an accelerator, in float32,
            without ``valid``, of up to 1024 tokens and 512 centers; ``'auto'`` for it
            where it is installed and takes the problem, and ``'torch'`` elsewhere.
    """
    check_problem(tokens, num_centers)
    masked = valid is not None
    check_kmedoids(distance, p, pre_norm, max_iters, tol, backend, masked, dtype)
    return _kmedoids(tokens.detach(), num_centers, first, valid, distance, p, pre_norm,
                     max_iters, tol, dtype, backend)


# An operator of torch, which stands in a compiled graph whole: its loop ends
# when no medoid moves, which a compiler cannot know. torch reads the schema from
# the annotations; its older versions know those of typing only.
@torch.library.custom_op('mmaction_centerclip::kmedoids', mutates_args=())
def _kmedoids(tokens: Tensor, num_centers: int,
              first: Optional[Tensor], valid: Optional[Tensor],  # noqa: UP045
              distance: str, p: float, pre_norm: bool, max_iters: int, tol: float,
              dtype: torch.dtype, backend: str) -> Tuple[Tensor, Tensor]:  # noqa: UP006
    with torch.autocast(tokens.device.type, enabled=False):
        if first is None:
            # Of the raw tokens, which is the same choice: the norms after the
            # division are one up to 1e-6, and float32 cannot tell them apart.
            norms = torch.linalg.vector_norm(tokens, dim=-1, dtype=torch.float64)
            if valid is not None:
                norms = norms.masked_fill(~valid, -1)
            first = norms.max(dim=1).indices
        tokens = tokens.to(dtype)
        if pre_norm:
            tokens = unit_normalize(tokens)
        distances = pairwise_distances(tokens, distance, p)
        if backend == 'triton' or backend == 'auto' and _takes_fused(
                distances, num_centers, valid):
            from .kmedoids_triton import alternate_fused
            euclidean = distance == 'euclidean' and p == 2
            try:
                return alternate_fused(distances.nan_to_num_(0), num_centers, first,
                                       max_iters, tol if euclidean else None)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                if backend == 'triton':
                    raise
                _give_up_on_fused(f'{type(error).__name__}: {error}')
        return alternate(distances, tokens, num_centers, first, valid, max_iters, tol)


def decision_like(tokens: Tensor, num_centers: int,
                  *options: object) -> tuple[Tensor, Tensor]:
    """Return empty medoids (B, K) and an assignment (B, N), for compilers."""
    batch, count, _ = tokens.shape
    return (tokens.new_empty((batch, num_centers), dtype=torch.int64),
            tokens.new_empty((batch, count), dtype=torch.int64))


_kmedoids.register_fake(decision_like)


@register_flop_formula(torch.ops.mmaction_centerclip.kmedoids)
def _count_flops(tokens_shape: torch.Size, num_centers: int, first: object,
                 valid: object, distance: str, p: float, *options: object,
                 **kwargs: object) -> int:
    """Count the matrix product of the distances, two a multiply-add."""
    batch, count, width = tokens_shape
    is_product = distance == 'cosine' or p == 2
    return 2 * is_product * batch * count**2 * width


def check_problem(tokens: Tensor, num_centers: int) -> None:
    """Raise InputError unless ``num_centers`` can be chosen of ``tokens``."""
    if tokens.ndim != 3 or not tokens.is_floating_point():
        raise InputError(
            'tokens must be a floating point tensor of shape (B, N, C), got '
            f'{tokens.dtype} of shape {tuple(tokens.shape)}')
    if not 1 <= num_centers <= tokens.shape[1]:
        raise InputError(
            f'num_centers must be from 1 to the {tokens.shape[1]} tokens of '
            f'a problem, got {num_centers!r}')


def check_kmedoids(distance: str, p: float, pre_norm: bool, max_iters: int,
                   tol: float, backend: str, masked: bool = False,
                   dtype: torch.dtype = torch.float32) -> None:
    """Raise an InputError unless these are options of :func:`kmedoids`."""
    check_choice('distance', distance, DISTANCES)
    check_choice('backend', backend, BACKENDS)
    check_order(p)
    check_stop(max_iters, tol)
    if backend == 'triton' and (masked or dtype != torch.float32):
        raise InputError("backend='triton' works in float32 and without valid "
                         f'(exclude_padding of a neck), got {dtype}'
                         + ' and valid' * masked)


def check_stop(max_iters: int, tol: float) -> None:
    """Raise an InputError unless these can end an alternation."""
    if type(max_iters) is not int or max_iters < 0:
        raise InputError('max_iters must be an integer that is not negative, '
                         f'got {max_iters!r}')
    check_number('tol', tol, lambda x: x >= 0, 'at least 0')


def _takes_fused(distances: Tensor, num_centers: int, valid: Tensor | None) -> bool:
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
    """Warn once and fall back to the torch implementation."""
    _FUSED_FAILURES.append(reason)
    warnings.warn(
        f"the fused k-medoids kernel does not run here ({reason}), so torch's "
        "operations are used; backend='torch' silences this", stacklevel=2)
