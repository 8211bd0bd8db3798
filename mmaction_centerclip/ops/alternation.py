"""KKZ initialisation and the alternation of k-medoids, on known distances.

Katsavounidis, Kuo and Zhang (1994); CenterCLIP, arXiv 2205.00823, Sec. 3.3.
"""
import torch
from torch import Tensor

# How many update steps to take between two looks at whether all problems are
# done. A look makes the host wait for an accelerator; steps after the end
# change nothing.
_CHECK_EVERY = {'cpu': 1}


def kkz_init(distances: Tensor, num_centers: int, first: Tensor,
             valid: Tensor | None = None) -> Tensor:
    """KKZ start: repeatedly the token farthest from its nearest pick."""
    # Rows by their number in all problems; a step costs little but its calls.
    flat = distances.flatten(0, 1)
    offsets = torch.arange(0, flat.shape[0], distances.shape[1], device=first.device)
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


def alternate(distances: Tensor, tokens: Tensor, num_centers: int,
              first: Tensor, valid: Tensor | None, max_iters: int,
              tol: float) -> tuple[Tensor, Tensor]:
    """Run KKZ and the alternation on known distances, see :func:`kmedoids`.

    ``distances`` (B, N, N) are symmetric with a zero diagonal.
    """
    # Tokens that overflowed upstream must not break the invariants.
    distances = distances.nan_to_num(0)
    medoids = kkz_init(distances, num_centers, first, valid)

    active = torch.ones_like(first, dtype=torch.bool)
    check_every = _CHECK_EVERY.get(distances.device.type, 8)
    for step in range(1, max_iters + 1):
        assignment = assign(distances, medoids)
        updated = update(distances, assignment, medoids, valid)
        updated = updated.where(active[:, None], medoids)
        if step % check_every == 0 and torch.equal(updated, medoids):
            break
        moved = _rows(tokens, updated) - _rows(tokens, medoids)
        active = active & (moved.norm(dim=-1).sum(dim=-1) >= tol)
        medoids = updated
    medoids = medoids.sort(dim=1).values
    return medoids, assign(distances, medoids)


def _rows(matrices: Tensor, indices: Tensor) -> Tensor:
    """Rows (B, K, M) of matrices (B, N, M), several times gather's speed."""
    batch, count = matrices.shape[:2]
    offsets = torch.arange(0, batch * count, count, device=indices.device)[:, None]
    flat = matrices.flatten(0, 1).index_select(0, (indices + offsets).flatten())
    return flat.unflatten(0, indices.shape)


# Below, max() and min() along a dimension rather than argmax() and argmin():
# they promise the first of equal values too, and take a tenth of the time.


def assign(distances: Tensor, medoids: Tensor) -> Tensor:
    """Position (B, N) of each token's nearest medoid (B, K), and a medoid's own."""
    assignment = _rows(distances, medoids).min(dim=1).indices
    positions = torch.arange(medoids.shape[1], device=medoids.device)
    return assignment.scatter_(1, medoids, positions.expand_as(medoids))


def update(distances: Tensor, assignment: Tensor, medoids: Tensor,
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
