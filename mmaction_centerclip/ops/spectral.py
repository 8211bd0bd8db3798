"""Spectral clustering of tokens (CenterCLIP, arXiv 2205.00823, Sec. 3.3).

Normalised cuts in the form of Ng, Jordan and Weiss (2001): the rows of the
Laplacian's smallest eigenvectors, given unit length, are clustered by
k-medoids++. Only distances between rows are used, which no rotation of the
basis changes.
"""
import warnings

import torch
from torch import Tensor

from .distances import pairwise_distances, squared_euclidean, unit_normalize
from .kmedoids import alternate, check_problem
from .subspace import chebyshev_subspace

__all__ = [
    'affinity', 'normalized_laplacian', 'spatial_temporal_locality',
    'spectral_clustering', 'spectral_embedding'
]

GRAPHS = ('heat', 'knn')
SOLVERS = ('auto', 'eigh', 'chebyshev')


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
                        solver: str = 'auto',
                        chunk_size: int | None = None) -> tuple[Tensor, Tensor]:
    """Cluster each problem's tokens by their similarity graph.

    Deterministic: the k-medoids start from the token with the largest row
    norm *before* the rows get unit length, which does not depend on the basis
    of the eigenvectors. After it all norms are one up to rounding.

    Args:
        tokens (Tensor): Shape (B, N, C), any floating point dtype.
        num_centers (int): K, from 1 to N.
        graph (str): ``'heat'`` or ``'knn'``, see :func:`affinity`.
        sigma (float | str): See :func:`affinity`. Defaults to 2.0.
        knn (int, optional): See :func:`affinity`. Defaults to None.
        locality (Tensor, optional): See :func:`affinity`. Defaults to None.
        p (float): Order of the Minkowski distance between rows; with another
            than 2 the result depends on the basis. Defaults to 2.0.
        max_iters (int): Limit of update steps. Defaults to 100.
        tol (float): As for :func:`kmedoids`. Defaults to 1e-6.
        first (Tensor, optional): Forced first picks, int64 (B, ).
            Defaults to None.
        dtype (torch.dtype): What graph and eigenvectors are computed in. In
            float32 an eigenvector's rounding changes a medoid now and then.
            Defaults to torch.float64.
        solver (str): See :func:`spectral_embedding`. Defaults to ``'auto'``.
        chunk_size (int, optional): Problems worked on at a time.
            Defaults to None: all.

    Returns:
        tuple[Tensor, Tensor]: ``medoids`` int64 (B, K), ascending, and
        ``assignment`` int64 (B, N), as of :func:`kmedoids`.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_problem(tokens, num_centers, chunk_size)
    results = []
    with torch.no_grad(), torch.autocast(tokens.device.type, enabled=False):
        for start in range(0, max(len(tokens), 1), chunk_size or len(tokens) or 1):
            chosen = slice(start, start + (chunk_size or len(tokens)))
            graphs = affinity(
                tokens[chosen].to(dtype),
                graph=graph,
                sigma=sigma,
                knn=knn,
                locality=locality)
            rows = spectral_embedding(graphs, num_centers, solver)
            if first is None:
                start_at = rows.norm(dim=-1).argmax(dim=1)
            else:
                start_at = first[chosen]
            rows = unit_normalize(rows).double()
            results.append(
                alternate(
                    _row_distances(rows, p), rows, num_centers, start_at, None,
                    max_iters, tol))
    medoids, assignment = zip(*results)
    return torch.cat(medoids), torch.cat(assignment)


def affinity(tokens: Tensor,
             *,
             graph: str = 'heat',
             sigma: float | str = 2.0,
             knn: int | None = None,
             locality: Tensor | None = None) -> Tensor:
    """Similarity graph W = exp(-|x - y|^2 / (2 sigma^2)).

    Args:
        tokens (Tensor): Shape (B, N, C), float32 or float64.
        graph (str): ``'heat'`` keeps every entry; ``'knn'`` an entry that is
            among the ``knn`` largest of its row or of its column, the token
            itself counting as one. Defaults to ``'heat'``.
        sigma (float | str): Scale, in units of the tokens; ``'auto'`` takes
            each problem's median distance. Defaults to 2.0.
        knn (int, optional): Neighbours, required by ``'knn'``; more than N
            are N. Defaults to None.
        locality (Tensor, optional): Bool (N, N), entries to keep, see
            :func:`spatial_temporal_locality`. Defaults to None: all.

    Returns:
        Tensor: Shape (B, N, N), symmetric, ones on the diagonal.

    Raises:
        ValueError: If an option is out of range.
    """
    _check_graph(graph, sigma, knn)
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
            raise ValueError(f'locality must have the shape ({count}, {count}),'
                             f' got {tuple(locality.shape)}')
        weights = weights * locality.to(weights.device)
    return weights


def normalized_laplacian(weights: Tensor) -> Tensor:
    """D^-1/2 (D - W) D^-1/2 of graphs (B, N, N) with positive degrees."""
    scale = weights.sum(dim=-1).rsqrt()
    result = weights * -scale[:, :, None] * scale[:, None, :]
    result.diagonal(dim1=-2, dim2=-1).add_(1)
    return result


def spectral_embedding(weights: Tensor,
                       num_vectors: int,
                       solver: str = 'auto') -> Tensor:
    """The eigenvectors of the Laplacian's smallest eigenvalues.

    Args:
        weights (Tensor): Graphs, shape (B, N, N).
        num_vectors (int): K, from 1 to N.
        solver (str): ``'eigh'``: all eigenvectors by ``torch.linalg.eigh``;
            ``'chebyshev'``: the wanted ones by matrix products in float64,
            see :func:`chebyshev_subspace`, and by ``'eigh'`` for problems
            where that does not converge; ``'auto'``: ``'eigh'`` on the CPU
            and where K is over a third of N, else ``'chebyshev'``.
            Defaults to ``'auto'``.

    Returns:
        Tensor: Orthonormal columns, shape (B, N, K), in ascending order of
        the eigenvalues; rows are not normalised.

    Raises:
        ValueError: If ``solver`` is unknown.
    """
    if solver not in SOLVERS:
        raise ValueError(f'solver must be one of {SOLVERS}, got {solver!r}')
    laplacian = normalized_laplacian(weights)
    few = 3 * num_vectors <= laplacian.shape[-1]
    on_cpu = laplacian.device.type == 'cpu'
    if solver == 'eigh' or solver == 'auto' and (on_cpu or not few):
        return torch.linalg.eigh(laplacian)[1][..., :num_vectors]
    # The Laplacian's smallest eigenvalues are the largest of I - L. Exactly
    # symmetric, or residuals would not fall below the rounding of float32.
    similarity = -(laplacian + laplacian.mT).double() / 2
    similarity.diagonal(dim1=-2, dim2=-1).add_(1)
    vectors, converged = chebyshev_subspace(similarity, num_vectors)
    vectors = vectors.to(laplacian.dtype)
    rest = (~converged).nonzero()[:, 0]
    if len(rest):
        vectors[rest] = torch.linalg.eigh(
            laplacian[rest])[1][..., :num_vectors]
    return vectors


def spatial_temporal_locality(frames: int,
                              height: int,
                              width: int,
                              *,
                              spatial_kernel: int = 9,
                              temporal_kernel: int = 7) -> Tensor:
    """Which tokens of a segment are near each other in space and time.

    Args:
        frames (int): Frames of the segment.
        height (int): Rows of a frame's token grid.
        width (int): Columns of it.
        spatial_kernel (int): Odd; rows and columns may differ by half of it,
            rounded down. Defaults to 9.
        temporal_kernel (int): Odd; likewise for frames. Defaults to 7.

    Returns:
        Tensor: Bool (N, N) with N = frames * height * width, frame-major.

    Raises:
        ValueError: If a size is not positive or a kernel not odd.
    """
    for name, value in (('frames', frames), ('height', height), ('width', width)):
        if value < 1:
            raise ValueError(f'{name} must be positive, got {value!r}')
    near = []
    for name, size, kernel in (('temporal_kernel', frames, temporal_kernel),
                               ('spatial_kernel', height, spatial_kernel),
                               ('spatial_kernel', width, spatial_kernel)):
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f'{name} must be a positive odd number, got '
                             f'{kernel!r}')
        steps = torch.arange(size)
        near.append((steps[:, None] - steps).abs() <= kernel // 2)
    result = torch.einsum('ab,cd,ef->acebdf', *(n.int() for n in near))
    return result.reshape((frames * height * width, ) * 2).bool()


def _row_distances(rows: Tensor, p: float) -> Tensor:
    """Distances of unit rows (B, N, N), float64.

    Rows of one cluster nearly coincide. Products in float64 still tell them
    apart, and take a tenth of the time of differences.
    """
    if p != 2:
        return pairwise_distances(rows, p=p)
    distances = squared_euclidean(rows).sqrt_()
    distances.diagonal(dim1=-2, dim2=-1).zero_()
    return distances


def _check_graph(graph: str, sigma: float | str, knn: int | None) -> None:
    if graph not in GRAPHS:
        raise ValueError(f'graph must be one of {GRAPHS}, got {graph!r}')
    if sigma != 'auto' and not (isinstance(sigma, (int, float)) and sigma > 0):
        raise ValueError(f"sigma must be positive or 'auto', got {sigma!r}")
    if graph == 'knn' and (knn is None or knn < 1):
        raise ValueError(f"graph='knn' needs a positive knn, got {knn!r}")


def _median_off_diagonal(squared: Tensor) -> Tensor:
    """Median of each problem's squared distances, never zero (B, )."""
    count = squared.shape[-1]
    rows, columns = torch.triu_indices(
        count, count, offset=1, device=squared.device)
    if not len(rows):
        return squared.new_ones(len(squared))
    median = squared[:, rows, columns].median(dim=-1).values
    return torch.where(median > 0, median, torch.ones_like(median))


def _warn_of_identity(weights: Tensor, sigma: float) -> None:
    """Say so where no two tokens are similar: the subspace is then noise."""
    degree = weights.sum(dim=-1) - 1
    # Most tokens, not all: repeated frames leave a few pairs of duplicates.
    isolated = (degree.median(dim=-1).values < 1e-6).sum().item()
    if isolated:
        warnings.warn(
            f'sigma={sigma} is far below the distances of the tokens: the '
            f'similarity graph of {isolated} of {len(weights)} problems is all but '
            "the identity, and its eigenvectors are arbitrary. Use sigma='auto' or "
            'a larger one.',
            stacklevel=3)
