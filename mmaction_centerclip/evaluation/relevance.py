"""Average precision, NDCG and summaries of the recalls."""
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .functional import check_similarity

__all__ = ['expected_ap_and_ndcg', 'relevance_metrics', 'summary_metrics']

CHUNK_ELEMENTS = 2**20  # float64 temporaries of 8 MiB each


def relevance_metrics(
        similarity: Tensor | np.ndarray,
        video_of_text: Tensor | np.ndarray,
        directions: Sequence[str] = ('t2v', 'v2t')) -> dict[str, float]:
    """Mean average precision and NDCG in per cent, both directions.

    At the level of single captions, unlike :func:`retrieval_metrics`:
    text-to-video, every caption ranks all videos, one of which is relevant;
    video-to-text, every video with a caption ranks all captions, of which its
    own are relevant. Ties count by their expected value, see
    :func:`expected_ap_and_ndcg`.

    Args:
        similarity (Tensor | ndarray): Shape (texts, videos), finite.
        video_of_text (Tensor | ndarray): Column of each caption's own video,
            integer (texts, ).
        directions (Sequence[str]): Which to compute. Defaults to both.

    Returns:
        dict[str, float]: ``mAP`` and ``NDCG`` under ``t2v/`` and ``v2t/``.

    Raises:
        ValueError: If the shapes do not fit, an index is out of range, or a
            similarity is not finite.

    Examples:
        >>> import torch
        >>> metrics = relevance_metrics(torch.eye(20), torch.arange(20))
        >>> metrics['t2v/mAP'], metrics['v2t/NDCG']
        (100.0, 100.0)
    """
    similarity, video_of_text = check_similarity(similarity, video_of_text)
    videos = torch.arange(similarity.shape[1], device=similarity.device)
    described = video_of_text.unique()
    means = dict(
        t2v=lambda: _mean_over_queries(
            len(similarity), len(videos), lambda part:
            (similarity[part], video_of_text[part, None] == videos)),
        v2t=lambda: _mean_over_queries(
            len(described), len(similarity), lambda part:
            (similarity.T[described[part]],
             described[part, None] == video_of_text)))
    return {
        f'{direction}/{name}': 100 * value
        for direction in directions
        for name, value in zip(('mAP', 'NDCG'), means[direction]())
    }


def _mean_over_queries(
        queries: int, candidates: int,
        rows: Callable[[slice], tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Mean AP and NDCG of the queries, a chunk of bounded size at a time."""
    step = max(1, CHUNK_ELEMENTS // candidates)
    parts = [
        torch.stack(expected_ap_and_ndcg(*rows(slice(start, start + step))))
        for start in range(0, queries, step)
    ]
    ap, ndcg = torch.cat(parts, dim=1).mean(dim=1).tolist()
    return ap, ndcg


def expected_ap_and_ndcg(scores: Tensor,
                         relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Exact means of AP and NDCG over all orders of tied candidates.

    Let a group of n tied candidates, r of them relevant, follow T better
    candidates, of which R are relevant. Its j-th place holds a relevant one
    with the probability r / n, before which stand R + (j - 1) (r - 1) / (n - 1)
    relevant ones in the mean. So, as McSherry and Najork derive ("Computing
    Information Retrieval Performance Measures Efficiently in the Presence of
    Tied Scores", ECIR 2008), the group adds the sum over j = 1 to n of

    .. code-block:: text

        r / n * (R + 1 + (j - 1) (r - 1) / (n - 1)) / (T + j)

    to the average precision times the number of relevant candidates, and the
    sum of r / n / log2(1 + T + j) to the DCG of binary gains.

    Args:
        scores (Tensor): Shape (queries, candidates), finite.
        relevant (Tensor): Bool (queries, candidates), at least one a query.

    Returns:
        tuple[Tensor, Tensor]: AP and NDCG, float64 (queries, ), from 0 to 1.
    """
    place = torch.arange(
        1, scores.shape[1] + 1, dtype=torch.float64, device=scores.device)
    scores, order = scores.sort(dim=1, descending=True)
    relevant = relevant.gather(1, order).double()
    group = torch.zeros_like(order)
    group[:, 1:] = (scores[:, 1:] != scores[:, :-1]).cumsum(dim=1)

    def group_sums(values: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over each place's group, and over all better groups."""
        sums = torch.zeros_like(relevant).scatter_add_(1, group, values)
        before = sums.cumsum(dim=1) - sums
        return sums.gather(1, group), before.gather(1, group)

    tied, better = group_sums(torch.ones_like(relevant))
    hits, hits_before = group_sums(relevant)
    chance = hits / tied
    others = (place - better - 1) * (hits - 1) / (tied - 1).clamp(min=1)
    precision = (hits_before + 1 + others) / place
    count = relevant.sum(dim=1)
    discount = (place + 1).log2().reciprocal()
    ideal = discount.cumsum(dim=0)[count.long() - 1]
    ap = (chance * precision).sum(dim=1) / count
    return ap, (chance * discount).sum(dim=1) / ideal


def summary_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Sum up the recalls of both directions.

    Args:
        metrics (dict[str, float]): With R@1, R@5 and R@10 of both directions
            as :func:`retrieval_metrics` names them: ``t2v/R1`` ...

    Returns:
        dict[str, float]: ``t2v/gmean`` and ``v2t/gmean``, the geometric means
        of a direction's three recalls, and ``Rsum``, the sum of all six.

    Raises:
        ValueError: If a recall is missing.

    Examples:
        >>> recalls = {f'{d}/R{k}': 50. for d in ('t2v', 'v2t')
        ...            for k in (1, 5, 10)}
        >>> round(summary_metrics(recalls)['t2v/gmean'], 6)
        50.0
    """
    names = {d: [f'{d}/R{k}' for k in (1, 5, 10)] for d in ('t2v', 'v2t')}
    missing = [n for part in names.values() for n in part if n not in metrics]
    if missing:
        raise ValueError(
            'metrics must have R1, R5 and R10 under t2v/ and v2t/, got '
            f'{sorted(metrics)} without {", ".join(missing)}')
    recalls = {d: [metrics[n] for n in part] for d, part in names.items()}
    summary = {f'{d}/gmean': math.prod(v)**(1 / 3) for d, v in recalls.items()}
    return dict(summary, Rsum=sum(map(sum, recalls.values())))
