"""Eigenvectors of the largest eigenvalues, by matrix products."""
import math

import torch
from torch import Tensor

# Of the polynomial, and how much it may enlarge the largest eigenvalue's part:
# what rounding leaves of that part in the other vectors is enlarged as well.
_DEGREE = 12
_GROWTH = 1e9


def chebyshev_subspace(matrices: Tensor, num_vectors: int, tol: float = 1e-9,
                       max_rounds: int = 40) -> tuple[Tensor, Tensor]:
    """Eigenvectors of the largest eigenvalues of symmetric matrices.

    Chebyshev-filtered subspace iteration (Zhou, Saad, Tiago and Chelikowsky,
    2006): a polynomial that is small on the unwanted part of the spectrum is
    applied by products, the basis is orthonormalised and rotated to its Ritz
    vectors, until every residual ``|A x - lambda x|`` is below ``tol`` times
    the width of the spectrum (and 1e-13, where rounding begins). An invariant
    subspace is then met within that residual divided by the gap between its
    eigenvalues and the rest. Deterministic: the start is always the same,
    and a problem that is done does not wait for its neighbours.

    Args:
        matrices (Tensor): Symmetric, float64 (B, N, N).
        num_vectors (int): K, from 1 to N.
        tol (float): Largest residual, relative to the spectrum's width.
            Defaults to 1e-9.
        max_rounds (int): Bases to look at, at most. Defaults to 40.

    Returns:
        tuple[Tensor, Tensor]: Orthonormal columns (B, N, K) in descending order of the
        eigenvalues, and whether each problem got there, bool (B, ).
    """
    batch, count, _ = matrices.shape
    # Some more vectors than asked for: what lies next to the wanted part
    # of the spectrum is what a filter separates worst.
    width = min(count, num_vectors + max(16, num_vectors // 4))
    basis = _start(count, width, matrices).expand(batch, -1, -1)
    lower = lowest_eigenvalue_bound(matrices)
    result = basis[..., :num_vectors]
    done = torch.zeros(batch, dtype=torch.bool, device=matrices.device)
    for turn in range(1, max_rounds + 1):
        basis, values, image = _rayleigh_ritz(matrices, basis)
        result = torch.where(done[:, None, None], result, basis[..., :num_vectors])
        residual = image - basis * values[:, None, :]
        enough = (tol * (values[:, 0] - lower)).clamp(min=1e-13)
        done |= residual[..., :num_vectors].norm(dim=1).amax(dim=1) <= enough
        if turn == max_rounds or done.all():
            break
        # What is below the last Ritz value is the unwanted part.
        basis = _filter(matrices, basis, image, lower, values)
    return result, done


def lowest_eigenvalue_bound(matrices: Tensor, steps: int = 12) -> Tensor:
    """Bounds (B, ) from below of the eigenvalues of symmetric matrices.

    The smallest Ritz value of a few Lanczos steps less the norm of what is
    left, as Zhou, Saad, Tiago and Chelikowsky bound a spectrum. The matrices
    are (B, N, N), and the steps at most N.
    """
    batch, count, _ = matrices.shape
    vectors = _start(count, 1, matrices).expand(batch, -1, -1)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    rest = vectors.new_zeros(batch)
    for step in range(min(steps, count)):
        image = matrices @ vectors[..., -1:]
        # Twice: once leaves what rounding has put back.
        for _ in range(2):
            image = image - vectors @ (vectors.mT @ image)
        rest = image.norm(dim=1)[:, 0]
        if step + 1 < min(steps, count):
            length = rest[:, None, None].clamp(min=torch.finfo(rest.dtype).tiny)
            vectors = torch.cat([vectors, image / length], dim=-1)
    small = vectors.mT @ (matrices @ vectors)
    return torch.linalg.eigvalsh((small + small.mT) / 2)[:, 0] - rest


def _start(count: int, width: int, like: Tensor) -> Tensor:
    """The same random columns (N, width) each time and on each device."""
    start = torch.randn((count, width), generator=torch.Generator().manual_seed(0),
                        dtype=like.dtype)
    return start.to(like.device)


def _rayleigh_ritz(matrices: Tensor, basis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz vectors, their values in descending order, and their image."""
    basis, _ = torch.linalg.qr(basis)
    image = matrices @ basis
    small = basis.mT @ image
    values, rotation = torch.linalg.eigh((small + small.mT) / 2)
    rotation = rotation.flip(-1)
    return basis @ rotation, values.flip(-1), image @ rotation


def _filter(matrices: Tensor, basis: Tensor, image: Tensor, lower: Tensor,
            values: Tensor) -> Tensor:
    """Chebyshev polynomial of what is between ``lower`` and the last value."""
    center = (values[:, -1] + lower) / 2
    radius = ((values[:, -1] - lower) / 2).clamp(min=1e-14)
    farthest = ((values[:, 0] - center) / radius).max().clamp(min=1 + 1e-9)
    degree = int(math.acosh(_GROWTH) / math.acosh(farthest.item()))
    center, radius = center[:, None, None], radius[:, None, None]
    previous, current = basis, (image - center * basis) / radius
    for _ in range(min(degree, _DEGREE) - 1):
        following = (matrices @ current - center * current) * (2 / radius)
        previous, current = current, following - previous
    return current
