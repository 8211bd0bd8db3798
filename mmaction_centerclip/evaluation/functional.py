"""Recall and ranks of a similarity matrix, in both directions."""

import numpy as np
import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError

__all__ = [
    'caption_group_similarity', 'check_finite', 'expected_ranks',
    'metrics_of_ranks', 'rank_counts', 'retrieval_metrics'
]

TOPK = (1, 5, 10)


def retrieval_metrics(similarity: Tensor | np.ndarray,
                      video_of_text: Tensor | np.ndarray,
                      topk: tuple[int, ...] = TOPK) -> dict[str, float]:
    """Text-to-video and video-to-text recall, median and mean rank.

    Text-to-video: every caption is a query that ranks all videos.
    Video-to-text: every video with a caption is a query that ranks the
    videos' caption groups, a group scoring its best caption, as CLIP4Clip
    does for several captions per video (arXiv 2104.08860, Sec. 4.3).

    Ties count by their expected value under random tie-breaking: with b
    candidates better and t others tied, the rank is uniform on b + 1 to
    b + t + 1, so that R@k is the probability of a rank up to k and a constant
    similarity scores chance.

    Args:
        similarity (Tensor | ndarray): Shape (texts, videos), finite.
        video_of_text (Tensor | ndarray): Column of each caption's own video,
            integer (texts, ).
        topk (tuple[int, ...]): The k of R@k. Defaults to (1, 5, 10).

    Returns:
        dict[str, float]: For ``t2v`` and ``v2t``: ``/R1`` ... in per cent,
        ``/MdR`` and ``/MnR``, the median and mean of the (expected) ranks,
        which count from 1.

    Raises:
        ValueError: If the shapes do not fit, an index is out of range, or a
            similarity is not finite.

    Examples:
        >>> import torch
        >>> metrics = retrieval_metrics(torch.eye(20), torch.arange(20))
        >>> metrics['t2v/R1'], metrics['v2t/MnR']
        (100.0, 1.0)
    """
    similarity, video_of_text = check_similarity(similarity, video_of_text)
    return metrics_of_ranks(rank_counts(similarity, video_of_text), topk)


def rank_counts(similarity: Tensor,
                video_of_text: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """For each query, how many candidates beat its own or tie with it.

    Args:
        similarity (Tensor): Shape (texts, videos).
        video_of_text (Tensor): Int64 (texts, ).

    Returns:
        dict[str, tuple[Tensor, Tensor]]: Of ``t2v``, for every text, and
        ``v2t``, for every video with a text, see :func:`expected_ranks`.
    """
    groups = caption_group_similarity(similarity, video_of_text)
    described = video_of_text.unique()
    return dict(
        t2v=expected_ranks(similarity, video_of_text),
        v2t=expected_ranks(groups[:, described].T, described))


def metrics_of_ranks(ranks: dict[str, tuple[Tensor, Tensor]],
                     topk: tuple[int, ...] = TOPK) -> dict[str, float]:
    """Recalls, and median and mean of the expected ranks.

    Args:
        ranks (dict[str, tuple[Tensor, Tensor]]): See :func:`rank_counts`.
        topk (tuple[int, ...]): The k of R@k. Defaults to (1, 5, 10).

    Returns:
        dict[str, float]: See :func:`retrieval_metrics`.
    """
    metrics = {}
    for direction, (better, tied) in ranks.items():
        rank = better + 1 + tied / 2
        for k in topk:
            hit = ((k - better) / (tied + 1)).clamp(0, 1)
            metrics[f'{direction}/R{k}'] = 100 * hit.mean().item()
        metrics[f'{direction}/MdR'] = rank.quantile(0.5).item()
        metrics[f'{direction}/MnR'] = rank.mean().item()
    return metrics


def expected_ranks(similarity: Tensor,
                   target: Tensor) -> tuple[Tensor, Tensor]:
    """How many candidates beat each query's own, and how many tie with it.

    Args:
        similarity (Tensor): Shape (queries, candidates).
        target (Tensor): Each query's own candidate, int64 (queries, ).

    Returns:
        tuple[Tensor, Tensor]: Float64 (queries, ) each; the target itself is
        in neither.
    """
    own = similarity.gather(1, target[:, None])
    better = (similarity > own).sum(dim=1)
    tied = (similarity == own).sum(dim=1) - 1
    return better.double(), tied.double()


def caption_group_similarity(similarity: Tensor,
                             video_of_text: Tensor) -> Tensor:
    """The best caption of each video's group, for every video.

    Args:
        similarity (Tensor): Shape (texts, videos).
        video_of_text (Tensor): Int64 (texts, ).

    Returns:
        Tensor: Shape (groups, videos), square; -inf for a group without a
        caption.
    """
    index = video_of_text[:, None].expand_as(similarity)
    groups = similarity.new_full((similarity.shape[1], ) * 2, -torch.inf)
    return groups.scatter_reduce_(0, index, similarity, 'amax')


def check_similarity(
        similarity: Tensor | np.ndarray,
        video_of_text: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
    """Check a similarity matrix and whose its texts are.

    Args:
        similarity (Tensor | ndarray): Shape (texts, videos).
        video_of_text (Tensor | ndarray): Integer (texts, ).

    Returns:
        tuple[Tensor, Tensor]: As tensors, of floats and int64.

    Raises:
        ValueError: If the shapes do not fit, an index is out of range, or a
            similarity is not finite.
    """
    similarity = torch.as_tensor(similarity)
    if not similarity.is_floating_point():
        similarity = similarity.double()
    video_of_text = torch.as_tensor(
        video_of_text, device=similarity.device).long()
    if similarity.ndim != 2 or 0 in similarity.shape:
        raise ValueError('similarity must have the shape (texts, videos), got '
                         f'{tuple(similarity.shape)}')
    texts, videos = similarity.shape
    if video_of_text.shape != (texts, ):
        raise ValueError(
            f'video_of_text must have the shape ({texts}, ), one entry a row '
            f'of similarity, got {tuple(video_of_text.shape)}')
    if video_of_text.min() < 0 or video_of_text.max() >= videos:
        raise ValueError(
            f'video_of_text must be from 0 to {videos - 1}, got '
            f'{video_of_text.min().item()} to {video_of_text.max().item()}')
    check_finite(similarity)
    return similarity, video_of_text


def check_finite(similarity: Tensor, first_text: int = 0) -> None:
    """Raise an InputError if a similarity (texts, videos) is not finite.

    Args:
        similarity (Tensor): Shape (texts, videos).
        first_text (int): The text of the first row. Defaults to 0.
    """
    bad = (~similarity.isfinite()).nonzero()
    if len(bad):
        text, video = bad[0].tolist()
        raise InputError(
            f'similarity has {len(bad)} values that are not finite, the first '
            f'being {similarity[text, video].item()} for text '
            f'{first_text + text} and video {video}')
