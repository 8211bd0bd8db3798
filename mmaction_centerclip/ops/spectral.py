"""Spectral clustering of tokens (CenterCLIP, arXiv 2205.00823, Sec. 3.3), and graphs.

Normalised cuts in the form of Ng, Jordan and Weiss (2001): the rows of the Laplacian's
smallest eigenvectors, given unit length, are clustered by k-medoids++. Only distances
between rows are used, which no rotation of the basis changes.
"""
import math
import warnings
from typing import Optional, Tuple  # noqa: UP035

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mmaction_centerclip.errors import InputError, check_choice, check_positive_int

from .distances import (
    alternate,
    check_order,
    pairwise_distances,
    squared_euclidean,
    unit_normalize,
)
from .kmedoids import check_problem, check_stop, decision_like

GRAPHS = ('heat', 'knn')


def affinity(tokens: Tensor, *, graph: str = 'heat', sigma: float | str = 2.0,
             knn: int | None = None, locality: Tensor | None = None) -> Tensor:
    """Similarity graph W = exp(-|x - y|^2 / (2 sigma^2)) of tokens, (B, N, N).

    Args:
        tokens (Tensor): Shape (B, N, C), float32 or float64.
        graph (str): ``'heat'`` keeps every entry; ``'knn'`` an entry that is among the
            ``knn`` largest of its row or of its column, the token itself counting as
            one.
        sigma (float | str): ``'auto'`` takes each problem's median distance.
        locality (Tensor, optional): Bool (N, N), entries to keep, see
            :func:`spatial_temporal_locality`.
    """
    check_graph(graph, sigma, knn)
    # In float64: neighbours in the graph are told apart by small differences.
    squared = squared_euclidean(tokens.double())
    # Tokens that overflowed upstream must not end the training.
    squared = squared.nan_to_num_(0)
    squared.diagonal(dim1=-2, dim2=-1).zero_()
    count = tokens.shape[1]
    if sigma == 'auto':
        scale = 2 * _median_off_diagonal(squared)[:, None, None]
    else:
        scale = 2 * sigma**2
    weights = squared.div_(-scale).exp_().to(tokens.dtype)
    if sigma != 'auto' and count > 1:
        _warn_of_identity(weights, sigma)
    if graph == 'knn':
        nearest = weights.topk(min(knn, count), dim=-1).indices
        keep = torch.zeros_like(weights, dtype=torch.bool)
        keep.scatter_(-1, nearest, True)
        weights = weights * (keep | keep.mT)
    if locality is not None:
        if locality.shape != (count, count):
            raise InputError(f'locality must have the shape ({count}, {count}),'
                             f' got {tuple(locality.shape)}')
        weights = weights * locality.to(weights.device)
    return weights


def normalized_laplacian(weights: Tensor) -> Tensor:
    """D^-1/2 (D - W) D^-1/2 of graphs (B, N, N) with positive degrees."""
    scale = weights.sum(dim=-1).rsqrt()
    result = weights * -scale[:, :, None] * scale[:, None, :]
    result.diagonal(dim1=-2, dim2=-1).add_(1)
    return result


def spatial_temporal_locality(frames: int, height: int, width: int, *,
                              spatial_kernel: int = 9,
                              temporal_kernel: int = 7) -> Tensor:
    """Find which tokens of a segment are near each other, bool (N, N).

    Of N = frames * height * width, frame-major. Rows and columns may differ by half of
    ``spatial_kernel``, rounded down, frames by half of ``temporal_kernel``; both odd.
    """
    for name, value in (('frames', frames), ('height', height), ('width', width)):
        check_positive_int(name, value)
    for name, value in (('spatial_kernel', spatial_kernel),
                        ('temporal_kernel', temporal_kernel)):
        if check_positive_int(name, value) % 2 == 0:
            raise InputError(f'{name} must be odd, got {value!r}')
    near = [(torch.arange(size)[:, None] - torch.arange(size)).abs() <= kernel // 2
            for size, kernel in ((frames, temporal_kernel), (height, spatial_kernel),
                                 (width, spatial_kernel))]
    result = torch.einsum('ab,cd,ef->acebdf', *(n.int() for n in near))
    return result.reshape((frames * height * width, ) * 2).bool()


def check_graph(graph: str, sigma: float | str, knn: int | None) -> None:
    """Raise an InputError unless these are options of :func:`affinity`."""
    check_choice('graph', graph, GRAPHS)
    number = isinstance(sigma, (int, float)) and 0 < sigma < math.inf
    if sigma != 'auto' and not number:
        raise InputError(f"sigma must be positive or 'auto', got {sigma!r}")
    if graph == 'knn':
        check_positive_int('knn', knn)


def _median_off_diagonal(squared: Tensor) -> Tensor:
    """Median of each problem's squared distances, never zero (B, )."""
    count = squared.shape[-1]
    rows, columns = torch.triu_indices(count, count, offset=1, device=squared.device)
    if not len(rows):
        return squared.new_ones(len(squared))
    median = squared[:, rows, columns].median(dim=-1).values
    return torch.where(median > 0, median, torch.ones_like(median))


def _warn_of_identity(weights: Tensor, sigma: float) -> None:
    """Warn if an affinity matrix is nearly the identity: its subspace is noise."""
    degree = weights.sum(dim=-1) - 1
    # Most tokens, not all: repeated frames leave a few pairs of duplicates.
    isolated = (degree.median(dim=-1).values < 1e-6).sum().item()
    if isolated:
        warnings.warn(
            f'sigma={sigma} is far below the distances of the tokens: the '
            f'similarity graph of {isolated} of {len(weights)} problems is all but '
            "the identity, and its eigenvectors are arbitrary. Use sigma='auto' or "
            'a larger one.', stacklevel=3)


def spectral_clustering(tokens: Tensor,
                        num_centers: int,
                        *,
                        graph: str = 'heat',
                        sigma: float | str = 2.0,
                        knn: int | None = None,
                        locality: Tensor | None = None,
                        p: float = 2.0,
                        max_iters: int = 100,
                        tol: float = 1e-6,
                        first: Tensor | None = None,
                        dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Cluster each problem's tokens by their similarity graph.

    Deterministic: the k-medoids start from the token with the largest row norm *before*
    the rows get unit length, which does not depend on the basis of the eigenvectors.
    With a Minkowski order ``p`` other than 2 the result depends on that basis. In a
    ``dtype`` of float32 an eigenvector's rounding changes a medoid now and then. Other
    options are those of :func:`affinity` and :func:`kmedoids`, as is the result.
    """
    check_problem(tokens, num_centers)
    check_graph(graph, sigma, knn)
    check_order(p)
    check_stop(max_iters, tol)
    scale = 0.0 if sigma == 'auto' else float(sigma)
    return _spectral(tokens.detach(), num_centers, first, graph, scale, knn, locality,
                     float(p), max_iters, tol, dtype)


# An operator of torch, as k-medoids is.
@torch.library.custom_op('mmaction_centerclip::spectral_clustering', mutates_args=())
def _spectral(tokens: Tensor, num_centers: int,
              first: Optional[Tensor], graph: str, sigma: float,  # noqa: UP045
              knn: Optional[int], locality: Optional[Tensor],  # noqa: UP045
              p: float, max_iters: int, tol: float, dtype: torch.dtype
              ) -> Tuple[Tensor, Tensor]:  # noqa: UP006
    with torch.autocast(tokens.device.type, enabled=False):
        graphs = affinity(tokens.to(dtype), graph=graph, sigma=sigma or 'auto', knn=knn,
                          locality=locality)
        rows = spectral_embedding(graphs, num_centers)
        if first is None:
            first = rows.norm(dim=-1).argmax(dim=1)
        rows = unit_normalize(rows).double()
        return alternate(_row_distances(rows, p), rows, num_centers, first, None,
                         max_iters, tol)


_spectral.register_fake(decision_like)


@register_flop_formula(torch.ops.mmaction_centerclip.spectral_clustering)
def _count_flops(tokens_shape: torch.Size, num_centers: int, first: object, graph: str,
                 sigma: float, knn: int | None, locality: object, p: float,
                 *options: object, **kwargs: object) -> int:
    """Count the distances' matrix products, not the eigenvectors."""
    batch, count, width = tokens_shape
    return 2 * batch * count**2 * (width + num_centers * (p == 2))


def spectral_embedding(weights: Tensor, num_vectors: int) -> Tensor:
    """Compute eigenvectors of the Laplacian's K smallest eigenvalues, (B, N, K)."""
    laplacian = normalized_laplacian(weights)
    return torch.linalg.eigh(laplacian)[1][..., :num_vectors]


def _row_distances(rows: Tensor, p: float) -> Tensor:
    """Distances of unit rows (B, N, N), by products, in float64.

    It still tells the nearly equal rows of a cluster apart, ten times faster.
    """
    if p != 2:
        return pairwise_distances(rows, p=p)
    distances = squared_euclidean(rows).sqrt_()
    distances.diagonal(dim1=-2, dim2=-1).zero_()
    return distances
