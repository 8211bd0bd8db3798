"""k-medoids++ on known distances in one launch, one program per problem.

The same algorithm as :mod:`.kmedoids`, fused for accelerators, where its cost
is launches and synchronisation: KKZ, the alternation with its stop test, the
sort of the medoids and the last assignment. Every tie goes to the lowest
index, as there. Import it only where Triton is installed.
"""
import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ['MAX_CENTERS', 'MAX_TOKENS', 'alternate_fused']

MAX_TOKENS = 1024
MAX_CENTERS = 512


@triton.jit
def _row(distances, index, count, columns):
    inside = columns < count
    return tl.load(
        distances + index * count + columns, mask=inside, other=float('inf'))


@triton.jit
def _assign(distances, medoids, count, num_centers, columns):
    best = tl.full(columns.shape, float('inf'), tl.float32)
    assignment = tl.zeros(columns.shape, tl.int32)
    for k in range(num_centers):
        medoid = tl.load(medoids + k)
        row = _row(distances, medoid, count, columns)
        # A medoid belongs to itself, whatever else is as near.
        row = tl.where(columns == medoid, -1.0, row)
        closer = row < best
        assignment = tl.where(closer, k, assignment)
        best = tl.where(closer, row, best)
    return assignment


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
def _kmedoids_kernel(distances, first, medoids, assignment, count, num_centers,
                     max_iters, tol, has_displacement: tl.constexpr,
                     block: tl.constexpr):
    problem = tl.program_id(0)
    distances += problem.to(tl.int64) * count * count
    medoids += problem * num_centers
    assignment += problem * count
    columns = tl.arange(0, block)
    inside = columns < count
    _kkz(distances, medoids, tl.load(first + problem), count, num_centers,
         columns)

    step = 0
    active = 1
    while (step < max_iters) & (active == 1):
        cluster = _assign(distances, medoids, count, num_centers, columns)
        tl.store(assignment + columns, cluster, mask=inside)
        tl.debug_barrier()
        cost = tl.zeros(columns.shape, tl.float32)
        for j in range(count):
            same = cluster == tl.load(assignment + j)
            cost += tl.where(same, _row(distances, j, count, columns), 0.0)
        moved = 0.0
        changed = 0
        for k in range(num_centers):
            members = (cluster == k) & inside
            new = tl.argmin(tl.where(members, cost, float('inf')), 0)
            old = tl.load(medoids + k)
            changed = tl.where(new != old, 1, changed)
            moved += tl.load(distances + old * count + new)
            tl.debug_barrier()
            tl.store(medoids + k, new)
        tl.debug_barrier()
        active = changed
        if has_displacement:
            active = tl.where(moved >= tol, changed, 0)
        step += 1

    _sort(medoids, num_centers, columns)
    cluster = _assign(distances, medoids, count, num_centers, columns)
    tl.store(assignment + columns, cluster, mask=inside)


def alternate_fused(distances: Tensor,
                    num_centers: int,
                    first: Tensor,
                    max_iters: int,
                    tol: float | None = None) -> tuple[Tensor, Tensor]:
    """KKZ and the alternation, as :func:`.kmedoids.alternate`, fused.

    Args:
        distances (Tensor): Symmetric, zero diagonal, finite, float32
            (B, N, N) with N up to 1024.
        num_centers (int): K, up to 512 and N.
        first (Tensor): First picks, int64 (B, ).
        max_iters (int): Limit of update steps.
        tol (float, optional): Stop when the summed distance that the medoids
            moved is less, where ``distances`` are Euclidean. Defaults to
            None: stop when none moved.

    Returns:
        tuple[Tensor, Tensor]: ``medoids`` int64 (B, K), ascending, and
        ``assignment`` int64 (B, N).

    Raises:
        ValueError: If N or K is beyond the limits.
    """
    batch, count, _ = distances.shape
    if count > MAX_TOKENS or num_centers > MAX_CENTERS:
        raise ValueError(
            f'the fused kernel takes up to {MAX_TOKENS} tokens and '
            f'{MAX_CENTERS} centers, got {count} and {num_centers}')
    options = dict(dtype=torch.int32, device=distances.device)
    medoids = torch.empty((batch, num_centers), **options)
    assignment = torch.empty((batch, count), **options)
    block = max(triton.next_power_of_2(count), 16)
    if batch:
        _kmedoids_kernel[(batch, )](
            distances.contiguous(),
            first.to(torch.int32),
            medoids,
            assignment,
            count,
            num_centers,
            max_iters,
            0.0 if tol is None else tol,
            has_displacement=tol is not None,
            block=block,
            num_warps=4 if block <= 256 else 8)
    return medoids.long(), assignment.long()
