"""Spectral clustering of tokens (CenterCLIP, arXiv 2205.00823, Sec. 3.3).

Normalised cuts in the form of Ng, Jordan and Weiss (2001): the rows of the Laplacian's
smallest eigenvectors, given unit length, are clustered by k-medoids++. Only distances
between rows are used, which no rotation of the basis changes.
"""
from typing import Optional, Tuple  # noqa: UP035

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from .alternation import alternate
from .distances import (
    check_order,
    pairwise_distances,
    squared_euclidean,
    unit_normalize,
)
from .graphs import affinity, check_graph, normalized_laplacian
from .kmedoids import check_problem, check_stop, decision_like, in_chunks


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
                        dtype: torch.dtype = torch.float64,
                        chunk_size: int | None = None) -> tuple[Tensor, Tensor]:
    """Cluster each problem's tokens by their similarity graph.

    Deterministic: the k-medoids start from the token with the largest row norm *before*
    the rows get unit length, which does not depend on the basis of the eigenvectors.
    After it all norms are one up to rounding.

    Args:
        tokens (Tensor): Shape (B, N, C), any floating point dtype.
        num_centers (int): K, from 1 to N.
        graph (str): ``'heat'`` or ``'knn'``, see :func:`affinity`.
        sigma (float | str): See :func:`affinity`.
        knn (int, optional): See :func:`affinity`.
        locality (Tensor, optional): See :func:`affinity`.
        p (float): Order of the Minkowski distance between rows; with another than 2 the
            result depends on the basis.
        max_iters (int): Limit of update steps.
        tol (float): As for :func:`kmedoids`.
        first (Tensor, optional): Forced first picks, int64 (B, ).
        dtype (torch.dtype): What graph and eigenvectors are computed in. In float32 an
            eigenvector's rounding changes a medoid now and then. Defaults to
            torch.float64.
        chunk_size (int, optional): Problems worked on at a time. None: all.

    Returns:
        tuple[Tensor, Tensor]: ``medoids`` int64 (B, K), ascending, and
        ``assignment`` int64 (B, N), as of :func:`kmedoids`.
    """
    check_problem(tokens, num_centers)
    check_spectral(graph, sigma, p, max_iters, tol, knn)
    scale = 0.0 if sigma == 'auto' else float(sigma)
    return in_chunks(
        lambda tokens, first: _spectral(
            tokens, num_centers, first, graph, scale, knn, locality, float(p),
            max_iters, tol, dtype), chunk_size, tokens.detach(), first)


# An operator of torch, as k-medoids is.
@torch.library.custom_op('mmaction_centerclip::spectral_clustering',
                         mutates_args=())
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


def check_spectral(graph: str, sigma: float | str, p: float, max_iters: int,
                   tol: float, knn: int | None) -> None:
    """Raise an InputError unless these are :func:`spectral_clustering`'s options."""
    check_graph(graph, sigma, knn)
    check_order(p)
    check_stop(max_iters, tol)


def spectral_embedding(weights: Tensor, num_vectors: int) -> Tensor:
    """Compute the eigenvectors of the Laplacian's smallest eigenvalues.

    Args:
        weights (Tensor): Graphs, shape (B, N, N).
        num_vectors (int): K, from 1 to N.

    Returns:
        Tensor: Orthonormal columns, shape (B, N, K), in ascending order of
        the eigenvalues; rows are not normalised.
    """
    laplacian = normalized_laplacian(weights)
    return torch.linalg.eigh(laplacian)[1][..., :num_vectors]


def _row_distances(rows: Tensor, p: float) -> Tensor:
    """Distances of unit rows (B, N, N), float64.

    Rows of one cluster nearly coincide. Products in float64 still tell them apart, and
    take a tenth of the time of differences.
    """
    if p != 2:
        return pairwise_distances(rows, p=p)
    distances = squared_euclidean(rows).sqrt_()
    distances.diagonal(dim1=-2, dim2=-1).zero_()
    return distances
