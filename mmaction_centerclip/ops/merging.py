"""Merge tokens: means of clusters, and bipartite matching (ToMe, arXiv 2210.09461)."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError, check_number

from .kmedoids import check_problem


def cluster_mean(tokens: Tensor, assignment: Tensor, num_centers: int,
                 weights: Tensor | None = None) -> Tensor:
    """Average the tokens of each cluster; gradients flow to all of them.

    From tokens (B, N, C) and their clusters, int64 (B, N) in [0, K), to (B, K, C).
    Every cluster has a token; where all ``weights`` (B, N) are zero, they are even.
    """
    if weights is None:
        weights = tokens.new_ones(tokens.shape[:2])
    else:
        weights = weights.to(tokens.dtype)
        total = cluster_sum(weights, assignment, num_centers)
        weights = weights + (total.gather(1, assignment) == 0).to(tokens.dtype)
    total = cluster_sum(weights, assignment, num_centers)
    share = weights / total.gather(1, assignment)
    sums = tokens.new_zeros(len(tokens), num_centers, tokens.shape[-1])
    index = assignment[..., None].expand_as(tokens)
    return sums.scatter_add(1, index, tokens * share[..., None])


def cluster_sum(values: Tensor, assignment: Tensor, num_centers: int) -> Tensor:
    """Sum the values (B, N) of each cluster to (B, K), in their dtype."""
    sums = values.new_zeros(len(values), num_centers)
    return sums.scatter_add_(1, assignment, values)


def alternate(num_tokens: int, first: bool,
              device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
    """Return alternating sources and destinations, the first token a source or not."""
    tokens = torch.arange(num_tokens, device=device)
    even, odd = tokens[::2], tokens[1::2]
    return (even, odd) if first else (odd, even)


@torch.no_grad()
def bipartite_matching(metric: Tensor, num_merges: int, sources: Tensor,
                       destinations: Tensor) -> tuple[Tensor, Tensor]:
    """Match the sources that are most like a destination with it.

    Sec. 3 and Appendix D of the paper: each source has an edge to the destination whose
    cosine similarity is largest, and the r = ``num_merges`` largest edges stay. In
    float32, or float64 of such a metric (B, N, D); ties go to the lowest index.
    ``sources``, int64 (A, ), and ``destinations``, int64 (N - A, ), are ascending.

    Returns ``kept``, int64 (B, N - r): the sources without an edge, then the
    destinations, both ascending; and ``assignment``, int64 (B, N): for each token,
    where what it merges into is in ``kept``.

    Examples:
        >>> metric = torch.tensor([[[1., 0], [1, 0], [0, 1], [0, 1]]])
        >>> kept, assignment = bipartite_matching(metric, 1, *alternate(4, True))
        >>> kept.tolist(), assignment.tolist()
        ([[2, 1, 3]], [[1, 1, 0, 2]])
    """
    check_problem(metric, 1)
    if not len(sources) or not len(destinations):
        raise InputError('sources must be some of the tokens, and not all, got '
                         f'{len(sources)} of {metric.shape[1]}')
    if type(num_merges) is not int or not 0 <= num_merges <= len(sources):
        raise InputError(f'num_merges must be from 0 to the {len(sources)} sources, '
                         f'got {num_merges!r}')
    batch_size, count, _ = metric.shape
    kept_sources = len(sources) - num_merges
    with torch.autocast(metric.device.type, enabled=False):
        metric = metric if metric.dtype == torch.float64 else metric.float()
        metric = F.normalize(metric, dim=-1)
        similarity = metric[:, sources] @ metric[:, destinations].mT
    best, partner = similarity.max(dim=-1)
    order = best.argsort(dim=-1, descending=True, stable=True)
    merged = order[:, :num_merges]
    unmerged = order[:, num_merges:].sort(dim=-1).values
    kept = torch.cat([sources[unmerged], destinations.expand(batch_size, -1)], dim=1)
    place = torch.empty_like(order)
    place.scatter_(1, unmerged, torch.arange(
        kept_sources, device=order.device).expand_as(unmerged))
    place.scatter_(1, merged, kept_sources + partner.gather(1, merged))
    assignment = torch.empty(batch_size, count, dtype=torch.int64, device=order.device)
    assignment[:, sources] = place
    assignment[:, destinations] = kept_sources + torch.arange(
        len(destinations), device=order.device)
    return kept, assignment


@torch.no_grad()
def clip_matching(tokens: Tensor, num_tokens: int, num_clips: int,
                  cross_share: float = 0.8) -> tuple[Tensor, Tensor]:
    """Match the tokens (B, F * N, C) of joined clips across them, and then within.

    After TempMe (arXiv 2409.01156, Sec. 3). Across: the tokens of all clips but the
    first are the sources, those of the first the destinations; ``cross_share`` of the F
    * N - K merges are of this kind, as far as there are sources. Within: tokens
    alternate, the second one is a source; repeated where more than half of them are to
    go. Merged tokens are compared by the mean of what they hold. The result is that of
    :func:`bipartite_matching`, but ``kept`` is ascending.
    """
    check_problem(tokens, num_tokens)
    check_number('cross_share', cross_share, lambda x: 0 <= x <= 1, 'from 0 to 1')
    count = tokens.shape[1]
    metric = tokens if tokens.dtype == torch.float64 else tokens.float()
    start = torch.arange(count, device=tokens.device)
    kept = assignment = start.expand(len(tokens), -1)
    per_clip = count // num_clips
    merges = min(round(cross_share * (count - num_tokens)), count - per_clip)
    parts = start[per_clip:], start[:per_clip]
    while kept.shape[1] > num_tokens:
        if merges:
            step = _in_token_order(*bipartite_matching(metric, merges, *parts))
            kept = kept.gather(1, step[0])
            assignment = step[1].gather(1, assignment)
            metric = cluster_mean(tokens.to(metric.dtype), assignment, kept.shape[1])
        left = kept.shape[1]
        parts = alternate(left, first=False, device=tokens.device)
        merges = min(left - num_tokens, left // 2)
    return kept, assignment


def _in_token_order(kept: Tensor, assignment: Tensor) -> tuple[Tensor, Tensor]:
    """Sort the kept tokens (B, K), and let the assignment (B, N) follow."""
    kept, order = kept.sort(dim=1)
    return kept, order.argsort(dim=1).gather(1, assignment)


def merge(tokens: Tensor, assignment: Tensor, num_tokens: int,
          size: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Average tokens that belong together by ``size`` (None: ones), and sum sizes."""
    merged = cluster_mean(tokens, assignment, num_tokens, size)
    if size is None:
        size = torch.ones_like(assignment)
    return merged, cluster_sum(size, assignment, num_tokens)
