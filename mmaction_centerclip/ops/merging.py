"""Merge tokens: means of clusters, and bipartite matching (ToMe, arXiv 2210.09461)."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError

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
def saliency(entropy: Tensor) -> Tensor:
    """Map the entropy of tokens' attention (B, N) to their saliency, float32.

    vid-TLDR (arXiv 2403.13347): 0 where it is above its mean over the N tokens, else
    how far it is below, as a share of the lowest one's.
    """
    entropy = entropy.float()
    below = (entropy.mean(dim=1, keepdim=True) - entropy).clamp(min=0)
    most = below.amax(dim=1, keepdim=True)
    return below / most.clamp(min=torch.finfo(below.dtype).tiny)


def merge(tokens: Tensor, assignment: Tensor, num_tokens: int,
          size: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Average tokens that belong together by ``size`` (None: ones), and sum sizes."""
    merged = cluster_mean(tokens, assignment, num_tokens, size)
    if size is None:
        size = torch.ones_like(assignment)
    return merged, cluster_sum(size, assignment, num_tokens)
