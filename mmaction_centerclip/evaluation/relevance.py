"""Average precision and NDCG, with ties by their expected value."""
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .functional import check_similarity

SEVERAL_CAPTIONS = ('video-to-text: each video ranks all single captions, of '
                    'which its own are relevant')
CHUNK_ELEMENTS = 2**20  # float64 temporaries of 8 MiB each


def relevance_metrics(similarity: Tensor | np.ndarray,
                      video_of_text: Tensor | np.ndarray,
                      directions: Sequence[str] = ('t2v', 'v2t')) -> dict[str, float]:
    """Compute mean average precision and NDCG in per cent, in both directions.

    At the level of single captions, unlike :func:`retrieval_metrics`: text-to-video,
    every caption ranks all videos, one of which is relevant; video-to-text, every video
    with a caption ranks all captions, of which its own are relevant. Ties count by
    their expected value, see :func:`expected_ap_and_ndcg`.

    Args:
        similarity (Tensor | ndarray): See :func:`retrieval_metrics`.
        video_of_text (Tensor | ndarray): See there.
        directions (Sequence[str]): Which to compute. Defaults to both.

    Returns:
        dict[str, float]: ``mAP`` and ``NDCG`` under ``t2v/`` and ``v2t/``.

    Raises:
        InputError: See :func:`retrieval_metrics`.

    Examples:
        >>> import torch
        >>> metrics = relevance_metrics(torch.eye(20), torch.arange(20))
        >>> metrics['t2v/mAP'], metrics['v2t/NDCG']
        (100.0, 100.0)
    """
    similarity, video_of_text = check_similarity(similarity, video_of_text)
    described = video_of_text.unique()
    texts, videos = (torch.arange(n, device=similarity.device)
                     for n in similarity.shape)
    # Scores, the rows of the queries, their videos, and the candidates'.
    sides = dict(t2v=(similarity, texts, video_of_text, videos),
                 v2t=(similarity.T, described, described, video_of_text))
    figures = {}
    for direction in directions:
        scores, queries, own, candidates = sides[direction]
        step = max(1, CHUNK_ELEMENTS // len(candidates))
        parts = [
            torch.stack(
                expected_ap_and_ndcg(scores[rows], video[:, None] == candidates))
            for rows, video in zip(queries.split(step), own.split(step))
        ]
        ap, ndcg = torch.cat(parts, dim=1).mean(dim=1).tolist()
        figures[f'{direction}/mAP'] = 100 * ap
        figures[f'{direction}/NDCG'] = 100 * ndcg
    return figures


def expected_ap_and_ndcg(scores: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Average AP and NDCG exactly over all orders of tied candidates.

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
        """Sum over each place's group, and over all better groups."""
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
