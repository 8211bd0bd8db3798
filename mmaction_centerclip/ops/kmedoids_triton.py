"""k-medoids++ on known distances in one launch, one program per problem.

The algorithm of :mod:`.kmedoids`, ties too, fused for accelerators, where its cost is
launches and synchronisation. Import it only where Triton is installed.
"""
import torch
import triton
import triton.language as tl
from torch import Tensor

MAX_TOKENS = 1024
MAX_CENTERS = 512


# Rows that a step reads at a time: loads that do not wait for each other.
_TILE = tl.constexpr(8)


@triton.jit
def _row(distances, index, count, columns):
    inside = columns < count
    return tl.load(distances + index * count + columns, mask=inside, other=float('inf'))


@triton.jit
def _rows(distances, indices, valid, count, columns):
    inside = valid[:, None] & (columns < count)[None, :]
    return tl.load(distances + indices[:, None] * count + columns[None, :], mask=inside,
                   other=float('inf'))


@triton.jit
def _assign(distances, medoids, count, num_centers, columns):
    best = tl.full(columns.shape, float('inf'), tl.float32)
    assignment = tl.zeros(columns.shape, tl.int32)
    for start in range(0, num_centers, _TILE):
        clusters = start + tl.arange(0, _TILE)
        valid = clusters < num_centers
        chosen = tl.load(medoids + clusters, mask=valid, other=-1)
        rows = _rows(distances, chosen, valid, count, columns)
        # A medoid belongs to itself, whatever else is as near.
        rows = tl.where(columns[None, :] == chosen[:, None], -1.0, rows)
        nearest, position = tl.min(rows, 0, return_indices=True)
        closer = nearest < best
        assignment = tl.where(closer, start + position, assignment)
        best = tl.where(closer, nearest, best)
    return assignment


@triton.jit
def _costs(distances, assignment, cluster, count, columns):
    """Each token's summed distance to its own cluster's members."""
    cost = tl.zeros(columns.shape, tl.float32)
    for start in range(0, count, _TILE):
        members = start + tl.arange(0, _TILE)
        valid = members < count
        theirs = tl.load(assignment + members, mask=valid, other=-1)
        rows = _rows(distances, members, valid, count, columns)
        same = theirs[:, None] == cluster[None, :]
        cost += tl.sum(tl.where(same, rows, 0.0), 0)
    return cost


@triton.jit
def _kkz(distances, medoids, first, count, num_centers, columns):
    pick = first
    tl.store(medoids, pick)
    nearest = _row(distances, pick, count, columns)
    nearest = tl.where(columns < count, nearest, -float('inf'))
    nearest = tl.where(columns == pick, -float('inf'), nearest)
    for k in range(1, num_centers):
        pick = tl.argmax(nearest, 0)
        tl.store(medoids + k, pick)
        nearest = tl.minimum(nearest, _row(distances, pick, count, columns))
        nearest = tl.where(columns == pick, -float('inf'), nearest)
    tl.debug_barrier()


@triton.jit
def _sort(medoids, num_centers, columns):
    chosen = tl.zeros(columns.shape, tl.int32)
    for k in range(num_centers):
        chosen = tl.where(columns == tl.load(medoids + k), 1, chosen)
    position = tl.cumsum(chosen, 0) - 1
    tl.debug_barrier()
    tl.store(medoids + position, columns, mask=chosen == 1)
    tl.debug_barrier()


@triton.jit
def _kmedoids_kernel(distances, first, medoids, assignment, cheapest, count,
                     num_centers, max_iters, tol, has_displacement: tl.constexpr,
                     block: tl.constexpr, center_block: tl.constexpr):
    problem = tl.program_id(0)
    distances += problem.to(tl.int64) * count * count
    medoids += problem * num_centers
    cheapest += problem * num_centers
    assignment += problem * count
    columns = tl.arange(0, block)
    inside = columns < count
    clusters = tl.arange(0, center_block)
    used = clusters < num_centers
    _kkz(distances, medoids, tl.load(first + problem), count, num_centers, columns)

    step = 0
    active = 1
    while (step < max_iters) & (active == 1):
        cluster = _assign(distances, medoids, count, num_centers, columns)
        tl.store(assignment + columns, cluster, mask=inside)
        tl.store(cheapest + clusters, 0x7FFFFFFFFFFFFFFF, mask=used)
        tl.debug_barrier()
        cost = _costs(distances, assignment, cluster, count, columns)
        # The smallest cost of each cluster and, of equal ones, the lowest
        # token: the bits of a float that is not negative order as it does.
        key = cost.to(tl.int32, bitcast=True).to(tl.int64) << 32
        tl.atomic_min(cheapest + cluster, key | columns.to(tl.int64), mask=inside)
        tl.debug_barrier()
        new = tl.load(cheapest + clusters, mask=used, other=0).to(tl.int32)
        old = tl.load(medoids + clusters, mask=used, other=0)
        moved = tl.load(distances + old * count + new, mask=used, other=0.0)
        active = tl.max(tl.where(used & (new != old), 1, 0), 0)
        if has_displacement:
            active = tl.where(tl.sum(moved, 0) >= tol, active, 0)
        tl.debug_barrier()
        tl.store(medoids + clusters, new, mask=used)
        tl.debug_barrier()
        step += 1

    _sort(medoids, num_centers, columns)
    cluster = _assign(distances, medoids, count, num_centers, columns)
    tl.store(assignment + columns, cluster, mask=inside)


def alternate_fused(distances: Tensor, num_centers: int, first: Tensor, max_iters: int,
                    tol: float | None = None) -> tuple[Tensor, Tensor]:
    """Run KKZ and the alternation in one launch, see :func:`kmedoids`.

    ``distances`` (B, N, N) are symmetric, finite float32 with a zero diagonal. ``tol``
    is None where they are not Euclidean: stop when no medoid moved.
    """
    batch, count, _ = distances.shape
    if count > MAX_TOKENS or num_centers > MAX_CENTERS:
        raise ValueError(f'the fused kernel takes up to {MAX_TOKENS} tokens and '
                         f'{MAX_CENTERS} centers, got {count} and {num_centers}')
    options = dict(dtype=torch.int32, device=distances.device)
    medoids = torch.empty((batch, num_centers), **options)
    assignment = torch.empty((batch, count), **options)
    cheapest = medoids.new_empty(medoids.shape, dtype=torch.int64)
    block = max(triton.next_power_of_2(count), 16)
    if batch:
        # Triton launches on the current device, whatever the tensors' is.
        with torch.cuda.device_of(distances):
            _kmedoids_kernel[(batch, )](
                distances.contiguous(), first.to(torch.int32), medoids, assignment,
                cheapest, count, num_centers, max_iters, 0.0 if tol is None else tol,
                has_displacement=tol is not None, block=block,
                center_block=max(triton.next_power_of_2(num_centers), 16),
                num_warps=4 if block <= 256 else 8)
    return medoids.long(), assignment.long()
