"""Recall, ranks, average precision and NDCG of a similarity matrix."""
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError

TOPK = (1, 5, 10)
CHUNK_ELEMENTS = 2**20  # float64 temporaries of 8 MiB each

Counts = tuple[Tensor, Tensor]
"""Counts, for each query, of the candidates better than its own, and of ties."""


def retrieval_metrics(similarity: Tensor | np.ndarray,
                      video_of_text: Tensor | np.ndarray,
                      topk: Sequence[int] = TOPK) -> dict[str, float]:
    """Compute recall, median and mean rank, text-to-video and video-to-text.

    Every caption ranks all videos; every video with a caption ranks the videos' caption
    groups, a group scoring its best caption (CLIP4Clip, arXiv 2104.08860, Sec. 4.3).
    With b candidates better and t others tied, the rank is uniform on b + 1 to b + t +
    1, so that R@k is the probability of a rank up to k and a constant similarity scores
    chance. Recalls ``/R1`` ... are in per cent, ``/MdR`` and ``/MnR`` of expected ranks
    from 1.

    Examples:
        >>> import torch
        >>> metrics = retrieval_metrics(torch.eye(20), torch.arange(20))
        >>> metrics['t2v/R1'], metrics['v2t/MnR']
        (100.0, 1.0)
    """
    pair = check_similarity(similarity, video_of_text)
    return metrics_of_counts(
        dict(t2v=better_and_tied(*pair), v2t=video_counts(*pair)), topk)


def metrics_of_counts(counts: dict[str, Counts],
                      topk: Sequence[int] = TOPK) -> dict[str, float]:
    """Compute :func:`retrieval_metrics` from the counts of each direction."""
    metrics = {}
    for direction, (better, tied) in counts.items():
        rank = better + 1 + tied / 2
        for k in topk:
            found = chance_of_finding((better, tied), k)
            metrics[f'{direction}/R{k}'] = 100 * found.mean().item()
        metrics[f'{direction}/MdR'] = rank.quantile(0.5).item()
        metrics[f'{direction}/MnR'] = rank.mean().item()
    return metrics


def chance_of_finding(counts: Counts, k: int = 1) -> Tensor:
    """Return for each query how likely its own is in the first k, ties at random."""
    better, tied = counts
    return ((k - better) / (tied + 1)).clamp(0, 1)


def better_and_tied(similarity: Tensor, target: Tensor) -> Counts:
    """Count each query's better and tied candidates, of (queries, candidates)."""
    own = similarity.gather(1, target[:, None])
    better = (similarity > own).sum(dim=1)
    tied = (similarity == own).sum(dim=1) - 1
    return better.double(), tied.double()


def video_counts(similarity: Tensor, video_of_text: Tensor) -> Counts:
    """Count for every video with a caption, whose candidates are caption groups."""
    groups = similarity.new_full((similarity.shape[1], ) * 2, -torch.inf)
    add_to_groups(groups, similarity, video_of_text)
    return group_counts(groups, video_of_text)


def add_to_groups(groups: Tensor, similarity: Tensor, video_of_text: Tensor) -> None:
    """Raise each video's best caption (groups, videos), -inf at first, in place."""
    index = video_of_text[:, None].expand_as(similarity)
    groups.scatter_reduce_(0, index, similarity, 'amax')


def group_counts(groups: Tensor, video_of_text: Tensor) -> Counts:
    """Rank the groups of :func:`add_to_groups` for every video that has one."""
    described = video_of_text.unique()
    return better_and_tied(groups[:, described].T, described)


def relevance_metrics(similarity: Tensor | np.ndarray,
                      video_of_text: Tensor | np.ndarray,
                      directions: Sequence[str] = ('t2v', 'v2t')) -> dict[str, float]:
    """Compute mean average precision and NDCG in per cent, in both directions.

    Every caption ranks all videos; every video with a caption ranks all captions, of
    which its own are relevant. Ties count as in :func:`expected_ap_and_ndcg`.

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
        parts = [torch.stack(expected_ap_and_ndcg(
            scores[rows], video[:, None] == candidates))
            for rows, video in zip(queries.split(step), own.split(step))]
        ap, ndcg = torch.cat(parts, dim=1).mean(dim=1).tolist()
        figures[f'{direction}/mAP'] = 100 * ap
        figures[f'{direction}/NDCG'] = 100 * ndcg
    return figures


def expected_ap_and_ndcg(scores: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Average AP and NDCG exactly over all orders of tied candidates.

    A group of n tied candidates, r of them relevant, follows T better ones, of which R
    are relevant. Its j-th place is relevant with the probability r / n, after a mean of
    R + (j - 1) (r - 1) / (n - 1). So, as McSherry and Najork derive ("Computing
    Information Retrieval Performance Measures Efficiently in the Presence of Tied
    Scores", ECIR 2008), it adds the sum over j = 1 to n of::

        r / n * (R + 1 + (j - 1) (r - 1) / (n - 1)) / (T + j)

    to AP times the number of relevant candidates, and of r / n / log2(1 + T + j) to the
    DCG of binary gains. Both are float64 (queries, ), from 0 to 1. ``relevant`` is bool
    (queries, candidates), at least one a query.
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


def check_similarity(similarity: Tensor | np.ndarray,
                     video_of_text: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
    """Check the input of :func:`retrieval_metrics`; return floats and int64."""
    similarity = torch.as_tensor(similarity)
    if not similarity.is_floating_point():
        similarity = similarity.double()
    check_matrix('similarity', similarity, '(texts, videos)')
    video_of_text = torch.as_tensor(video_of_text, device=similarity.device).long()
    texts, videos = similarity.shape
    if video_of_text.shape != (texts, ):
        raise InputError(f'video_of_text must have the shape ({texts}, ), one entry a '
                         f'row of similarity, got {tuple(video_of_text.shape)}')
    if video_of_text.min() < 0 or video_of_text.max() >= videos:
        raise InputError(f'video_of_text must be from 0 to {videos - 1}, got '
                         f'{video_of_text.min()} to {video_of_text.max()}')
    return similarity, video_of_text


def check_matrix(name: str, matrix: Tensor, shape: str) -> None:
    """Raise an InputError unless a matrix is one, not empty, and finite."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f'{name} must have the shape {shape}, got '
                         f'{tuple(matrix.shape)}')
    check_finite(f'{name} {shape}', matrix)


def check_finite(name: str, rows: Tensor, start: int = 0) -> None:
    """Raise an InputError unless a matrix's rows from ``start`` are finite."""
    bad = (~rows.isfinite()).nonzero()
    if len(bad):
        row, column = bad[0].tolist()
        raise InputError(
            f'{name} has {len(bad)} values that are not finite, the first '
            f'being {rows[row, column].item()} at ({start + row}, {column})')
