"""Merge tokens: means of clusters, bipartite matching (ToMe), and runs over time."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError

from .kmedoids import check_problem
from .selection import largest, similarity_to


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
    sums = tokens.new_zeros(tokens.shape[0], num_centers, tokens.shape[-1])
    index = assignment[..., None].expand_as(tokens)
    return sums.scatter_add(1, index, tokens * share[..., None])


def cluster_sum(values: Tensor, assignment: Tensor, num_centers: int) -> Tensor:
    """Sum the values (B, N) of each cluster to (B, K), in their dtype."""
    sums = values.new_zeros(values.shape[0], num_centers)
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

    ToMe (arXiv 2210.09461), Sec. 3 and Appendix D: each source has an edge to the
    destination whose cosine similarity is largest, and the r = ``num_merges`` largest
    edges stay. In float32, or float64 of such a metric (B, N, D); ties go to the lowest
    index.
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
def match_runs(tokens: Tensor, num_tokens: int, size: Tensor | None = None
               ) -> tuple[Tensor, Tensor]:
    """Match tokens over time where they change least, then those that are most alike.

    At each place of a frame, a token goes on in the next frame where the cosine of the
    two is large: of all pairs of neighbouring frames the largest, until the means of
    these runs, by ``size`` (B, F, N), are ``2 * num_tokens``, or those of one frame. Of
    them :func:`bipartite_matching` merges at most half at a time until ``num_tokens`` K
    are left. Linear in the tokens (B, F, N, C) but for that matching.

    Returns the tokens that represent, int64 (B, K), of the order of the matching; and
    for each of the F * N tokens, frame by frame, where what it merges into is in them,
    int64 (B, F * N).

    Examples:
        >>> still, other = [1., 0], [[0., 1], [0.1, 1], [1, 0]]
        >>> tokens = torch.tensor([[[still, changing] for changing in other]])
        >>> kept, assignment = match_runs(tokens, 2)
        >>> kept.tolist(), assignment.tolist()
        ([[1, 5]], [[1, 0, 1, 0, 1, 1]])
    """
    check_problem(tokens.flatten(1, 2), num_tokens)
    batch_size, frames, places, _ = tokens.shape
    count = min(max(2 * num_tokens, places), frames * places)
    changes = -similarity_to(tokens[:, 1:], tokens[:, :-1]).flatten(1)
    starts = torch.zeros(batch_size, frames * places, dtype=torch.bool,
                         device=tokens.device)
    starts[:, :places] = True
    if count > places:
        starts.scatter_(1, places + largest(changes, count - places), True)
    token = torch.arange(frames * places, device=tokens.device)
    start = torch.where(starts, token, 0).view(-1, frames, places).cummax(dim=1).values
    kept = starts.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]
    assignment = (starts.cumsum(dim=1) - 1).gather(1, start.flatten(1))
    size = None if size is None else size.flatten(1)
    while count > num_tokens:
        means, _ = merge(tokens.flatten(1, 2), assignment, count, size)
        merges = min(count - num_tokens, count // 2)
        chosen, parts = bipartite_matching(
            means, merges, *alternate(count, first=True, device=tokens.device))
        kept, assignment = kept.gather(1, chosen), parts.gather(1, assignment)
        count -= merges
    return kept, assignment


@torch.no_grad()
def saliency(entropy: Tensor) -> Tensor:
    """Map the entropy of tokens' attention (B, N), any float, to saliency, float32.

    vid-TLDR (arXiv 2403.13347): 0 where it is above its mean over the N tokens, else
    how far it is below, as a share of the lowest one's.
    """
    entropy = entropy.to(torch.promote_types(entropy.dtype, torch.float32))
    below = (entropy.mean(dim=1, keepdim=True) - entropy).clamp(min=0)
    most = below.amax(dim=1, keepdim=True)
    return (below / most.clamp(min=torch.finfo(torch.float32).tiny)).float()


def merge(tokens: Tensor, assignment: Tensor, num_tokens: int,
          size: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Average tokens that belong together by ``size`` (None: ones), and sum sizes."""
    merged = cluster_mean(tokens, assignment, num_tokens, size)
    if size is None:
        size = torch.ones_like(assignment)
    return merged, cluster_sum(size, assignment, num_tokens)


@torch.no_grad()
def fuse_rest(scores: Tensor, kept: Tensor) -> Tensor:
    """Assign tokens that are not kept to the kept one of the lowest score.

    From scores (B, N) and indices ``kept`` (B, K), -1 behind, to each token's place in
    ``kept``, int64 (B, N); ties go to the lowest index.

    Examples:
        >>> fuse_rest(torch.tensor([[5., 1, 7, 2]]), torch.tensor([[0, 2]]))
        tensor([[0, 0, 1, 0]])
    """
    count = scores.shape[1]
    real = kept >= 0
    own = scores.gather(1, kept.clamp(min=0)).masked_fill(~real, torch.inf)
    # The first of equal ones: of infinite scores too it is a token, not padding.
    last = own.min(dim=1, keepdim=True).indices
    places = torch.arange(kept.shape[1], device=kept.device).expand_as(kept)
    # With a column for the padding.
    return last.expand(-1, count + 1).scatter(1, kept.where(real, count),
                                              places)[:, :count]


def fused(tokens: Tensor, kept: Tensor, assignment: Tensor,
          weights: Tensor | None = None) -> Tensor:
    """Return the means (B, K, C) of clusters of one token each, but for one of them.

    Those of :func:`cluster_mean` of tokens (B, N, C), the tokens ``kept`` (B, K, C),
    and the ``assignment`` of :func:`fuse_rest`, without a pass over all clusters.
    """
    large = cluster_sum(torch.ones_like(assignment), assignment, kept.shape[1])
    last = large.max(dim=1, keepdim=True).indices
    parts = (assignment == last).to(tokens.dtype)
    if weights is not None:
        weighted = parts * weights
        parts = torch.where(weighted.any(dim=1, keepdim=True), weighted, parts)
    share = parts / parts.sum(dim=1, keepdim=True)
    mean = (tokens * share[..., None]).sum(dim=1, keepdim=True)
    return kept.scatter(1, last[..., None].expand_as(mean), mean.to(kept.dtype))
