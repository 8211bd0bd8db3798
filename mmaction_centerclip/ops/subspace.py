"""Eigenvectors of the largest eigenvalues, by matrix products."""
import torch
from torch import Tensor

__all__ = ['chebyshev_subspace']

_DEGREE = 12


def chebyshev_subspace(matrices: Tensor,
                       num_vectors: int,
                       tol: float = 1e-10,
                       max_rounds: int = 30) -> tuple[Tensor, Tensor]:
    """Eigenvectors of the largest eigenvalues of symmetric matrices.

    Chebyshev-filtered subspace iteration (Zhou, Saad, Tiago and Chelikowsky,
    2006): a polynomial that is small on the unwanted part of the spectrum is
    applied by products, the basis is orthonormalised and rotated to its Ritz
    vectors, until every residual ``|A x - lambda x|`` is below ``tol``. An
    invariant subspace is then met within ``tol`` divided by the gap between
    its eigenvalues and the rest. Deterministic: the start is always the same.

    Args:
        matrices (Tensor): With a spectrum within -1 and 1, float64
            (B, N, N).
        num_vectors (int): K, from 1 to N.
        tol (float): Largest residual. Defaults to 1e-10.
        max_rounds (int): Filters to apply at most. Defaults to 30.

    Returns:
        tuple[Tensor, Tensor]: Orthonormal columns (B, N, K) in descending
        order of the eigenvalues, and whether each problem got there, bool
        (B, ).
    """
    batch, count, _ = matrices.shape
    # Some more vectors than asked for: what lies next to the wanted part
    # of the spectrum is what a filter separates worst.
    width = min(count, num_vectors + max(16, num_vectors // 4))
    start = torch.randn(
        (count, width), generator=torch.Generator().manual_seed(0),
        dtype=matrices.dtype)
    basis = start.to(matrices.device).expand(batch, -1, -1)
    for _ in range(max_rounds):
        basis, values, image = _rayleigh_ritz(matrices, basis)
        residual = image - basis * values[:, None, :]
        done = residual[..., :num_vectors].norm(dim=1).amax(dim=1) <= tol
        if done.all():
            break
        # From the lowest possible eigenvalue to the last Ritz value, the
        # unwanted part of the spectrum.
        basis = _filter(matrices, basis, image, values[:, -1])
    return basis[..., :num_vectors], done


def _rayleigh_ritz(matrices: Tensor,
                   basis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ritz vectors, their values in descending order, and their image."""
    basis, _ = torch.linalg.qr(basis)
    image = matrices @ basis
    small = basis.mT @ image
    values, rotation = torch.linalg.eigh((small + small.mT) / 2)
    rotation = rotation.flip(-1)
    return basis @ rotation, values.flip(-1), image @ rotation


def _filter(matrices: Tensor, basis: Tensor, image: Tensor,
            upper: Tensor) -> Tensor:
    """Chebyshev polynomial of the interval from -1 to ``upper`` (B, )."""
    upper = upper[:, None, None].clamp(min=-1 + 1e-9)
    center, radius = (upper - 1) / 2, (upper + 1) / 2
    previous, current = basis, (image - center * basis) / radius
    for _ in range(_DEGREE - 1):
        following = (matrices @ current - center * current) * (2 / radius)
        previous, current = current, following - previous
    return current / current.norm(dim=1, keepdim=True)
