"""Density peaks with k nearest neighbours, as Chat-UniVi and TCFormer use them."""
import torch
from torch import Tensor

from mmaction_centerclip.errors import check_number, check_positive_int

from .distances import assign, pairwise_distances
from .kmedoids import check_problem
from .selection import largest


@torch.no_grad()
def density_peaks(tokens: Tensor, num_centers: int, *, neighbors: int = 5,
                  scale: float | None = None,
                  valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cluster tokens around those that are dense and far from denser ones.

    DPC-KNN, as in TCFormer (arXiv 2204.08680, Sec. 3.2). With d the distance of two
    tokens, divided by ``scale`` (None: sqrt(C); the papers leave the unit open), a
    token's density is exp(-mean of d^2) over its k nearest ``neighbors``, itself not
    among them; its separation is d to the nearest token of larger density, and for the
    densest d to the farthest of all. The centers are the K tokens with the largest
    product of both, and all others go to the nearest center.

    Of two equally dense tokens the first one is the denser, so that copies of a token
    do not all become centers; every tie goes to the lowest index. Other arguments and
    the result are those of :func:`kmedoids`.

    Examples:
        >>> tokens = torch.tensor([[[0.], [1], [2], [10], [11], [12]]])
        >>> density_peaks(tokens, 2, neighbors=2)
        (tensor([[1, 4]]), tensor([[0, 0, 0, 1, 1, 1]]))
    """
    check_problem(tokens, num_centers)
    check_positive_int('neighbors', neighbors)
    if scale is not None:
        check_number('scale', scale, lambda x: x > 0, 'positive')
    count = tokens.shape[1]
    # Tokens that overflowed upstream must not break the invariants.
    distances = pairwise_distances(tokens.detach()).nan_to_num(0)
    distances = distances / (scale or tokens.shape[2]**0.5)
    density = _log_density(distances, min(neighbors, count - 1), valid)
    score = density + _separation(distances, density, valid).log()
    if valid is not None:
        score = score.masked_fill(~valid, -torch.inf)
    centers = largest(score, num_centers, valid)
    return centers, assign(distances, centers)


def _log_density(distances: Tensor, neighbors: int, valid: Tensor | None) -> Tensor:
    """Return the logarithms of the densities, (B, N) of (B, N, N)."""
    if neighbors == 0:
        return distances.new_zeros(distances.shape[:2])
    itself = torch.eye(distances.shape[1], dtype=torch.bool, device=distances.device)
    others = distances.square().masked_fill_(itself, torch.inf)
    if valid is not None:
        others = others.masked_fill(~valid[:, None], torch.inf)
    nearest = others.topk(neighbors, dim=-1, largest=False).values
    known = nearest.isfinite()
    density = -nearest.where(known, 0).sum(dim=-1) / known.sum(dim=-1).clamp(min=1)
    return density if valid is None else density.masked_fill(~valid, -torch.inf)


def _separation(distances: Tensor, density: Tensor, valid: Tensor | None) -> Tensor:
    """Return the distances to the nearest denser token, (B, N) of (B, N, N)."""
    count = density.shape[1]
    # Of equal ones the first is denser: a strict order, which has one top.
    earlier = torch.ones(count, count, dtype=torch.bool, device=density.device).tril(-1)
    denser = (density[:, None] > density[:, :, None]) | (
        (density[:, None] == density[:, :, None]) & earlier)
    separation = distances.masked_fill(~denser, torch.inf).amin(dim=-1)
    reachable = distances
    if valid is not None:
        reachable = distances.masked_fill(~valid[:, None], 0)
    return torch.where(denser.any(dim=-1), separation, reachable.amax(dim=-1))
