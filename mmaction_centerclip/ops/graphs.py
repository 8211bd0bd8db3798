"""Similarity graphs of tokens."""
import math
import warnings

import torch
from torch import Tensor

from mmaction_centerclip.errors import (
    InputError,
    check_choice,
    check_positive_int,
)

from .distances import squared_euclidean

GRAPHS = ('heat', 'knn')


def affinity(tokens: Tensor, *, graph: str = 'heat', sigma: float | str = 2.0,
             knn: int | None = None, locality: Tensor | None = None) -> Tensor:
    """Similarity graph W = exp(-|x - y|^2 / (2 sigma^2)).

    Args:
        tokens (Tensor): Shape (B, N, C), float32 or float64.
        graph (str): ``'heat'`` keeps every entry; ``'knn'`` an entry that is among the
            ``knn`` largest of its row or of its column, the token itself counting as
            one.
        sigma (float | str): Scale, in units of the tokens; ``'auto'`` takes each
            problem's median distance.
        knn (int, optional): Neighbours, required by ``'knn'``; more than N are N.
        locality (Tensor, optional): Bool (N, N), entries to keep, see
            :func:`spatial_temporal_locality`. None: all.

    Returns:
        Tensor: Shape (B, N, N), symmetric, ones on the diagonal.
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
    """Which tokens of a segment are near each other in space and time.

    Args:
        frames (int): Frames of the segment.
        height (int): Rows of a frame's token grid.
        width (int): Columns of it.
        spatial_kernel (int): Odd; rows and columns may differ by half of it, rounded
            down.
        temporal_kernel (int): Odd; likewise for frames.

    Returns:
        Tensor: Bool (N, N) with N = frames * height * width, frame-major.
    """
    for name, value in (('frames', frames), ('height', height), ('width', width)):
        check_positive_int(name, value)
    check_kernels(spatial_kernel, temporal_kernel)
    near = [(torch.arange(size)[:, None] - torch.arange(size)).abs() <= kernel // 2
            for size, kernel in ((frames, temporal_kernel), (height, spatial_kernel),
                                 (width, spatial_kernel))]
    result = torch.einsum('ab,cd,ef->acebdf', *(n.int() for n in near))
    return result.reshape((frames * height * width, ) * 2).bool()


def check_kernels(spatial_kernel: int, temporal_kernel: int) -> None:
    """Raise an InputError unless both are positive odd integers."""
    for name, value in (('spatial_kernel', spatial_kernel),
                        ('temporal_kernel', temporal_kernel)):
        if check_positive_int(name, value) % 2 == 0:
            raise InputError(f'{name} must be odd, got {value!r}')


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
