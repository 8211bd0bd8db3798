"""Recall and ranks of a similarity matrix, in both directions."""
import numpy as np
import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError

TOPK = (1, 5, 10)


def retrieval_metrics(similarity: Tensor | np.ndarray,
                      video_of_text: Tensor | np.ndarray,
                      topk: tuple[int, ...] = TOPK) -> dict[str, float]:
    """Compute recall, median and mean rank, text-to-video and video-to-text.

    Text-to-video: every caption is a query that ranks all videos.
    Video-to-text: every video with a caption is a query that ranks the
    videos' caption groups, a group scoring its best caption, as CLIP4Clip
    does for several captions per video (arXiv 2104.08860, Sec. 4.3).

    Ties count by their expected value under random tie-breaking: with b candidates
    better and t others tied, the rank is uniform on b + 1 to b + t + 1, so that R@k is
    the probability of a rank up to k and a constant similarity scores chance.

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
        InputError: If the shapes do not fit, an index is out of range, or a
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
    """Count better and tied candidates, see :func:`better_and_tied`.

    Args:
        similarity (Tensor): Shape (texts, videos).
        video_of_text (Tensor): Int64 (texts, ).

    Returns:
        dict[str, tuple[Tensor, Tensor]]: Counts under ``t2v``, for every
        text, and ``v2t``, for every video with a text.
    """
    groups = caption_group_similarity(similarity, video_of_text)
    return dict(t2v=better_and_tied(similarity, video_of_text),
                v2t=group_rank_counts(groups, video_of_text))


def metrics_of_ranks(counts: dict[str, tuple[Tensor, Tensor]],
                     topk: tuple[int, ...] = TOPK) -> dict[str, float]:
    """Compute :func:`retrieval_metrics` from :func:`rank_counts`."""
    metrics = {}
    for direction, (better, tied) in counts.items():
        rank = better + 1 + tied / 2
        for k in topk:
            hit = ((k - better) / (tied + 1)).clamp(0, 1)
            metrics[f'{direction}/R{k}'] = 100 * hit.mean().item()
        metrics[f'{direction}/MdR'] = rank.quantile(0.5).item()
        metrics[f'{direction}/MnR'] = rank.mean().item()
    return metrics


def better_and_tied(similarity: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Count the candidates that beat each query's own, and those that tie.

    Args:
        similarity (Tensor): Shape (queries, candidates).
        target (Tensor): Each query's own candidate, int64 (queries, ), which
            is in neither count.

    Returns:
        tuple[Tensor, Tensor]: Float64 (queries, ) each.
    """
    own = similarity.gather(1, target[:, None])
    better = (similarity > own).sum(dim=1)
    tied = (similarity == own).sum(dim=1) - 1
    return better.double(), tied.double()


def group_rank_counts(groups: Tensor, video_of_text: Tensor) -> tuple[Tensor, Tensor]:
    """Rank groups, as of :func:`caption_group_similarity`, for every video."""
    described = video_of_text.unique()
    return better_and_tied(groups[:, described].T, described)


def caption_group_similarity(similarity: Tensor, video_of_text: Tensor) -> Tensor:
    """Return the score of each video's best caption, for every video.

    From (texts, videos) to (groups, videos), square; -inf without a caption.
    """
    index = video_of_text[:, None].expand_as(similarity)
    groups = similarity.new_full((similarity.shape[1], ) * 2, -torch.inf)
    return groups.scatter_reduce_(0, index, similarity, 'amax')


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
        raise InputError(
            f'video_of_text must have the shape ({texts}, ), one entry a row '
            f'of similarity, got {tuple(video_of_text.shape)}')
    if video_of_text.min() < 0 or video_of_text.max() >= videos:
        raise InputError(
            f'video_of_text must be from 0 to {videos - 1}, got '
            f'{video_of_text.min().item()} to {video_of_text.max().item()}')
    return similarity, video_of_text


def check_matrix(name: str, matrix: Tensor, shape: str) -> None:
    """Raise an InputError unless a matrix is one, not empty, and finite."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(
            f'{name} must have the shape {shape}, got {tuple(matrix.shape)}')
    check_finite(f'{name} {shape}', matrix)


def check_finite(name: str, rows: Tensor, start: int = 0) -> None:
    """Raise an InputError unless a matrix's rows from ``start`` are finite."""
    bad = (~rows.isfinite()).nonzero()
    if len(bad):
        row, column = bad[0].tolist()
        raise InputError(
            f'{name} has {len(bad)} values that are not finite, the first '
            f'being {rows[row, column].item()} at ({start + row}, {column})')
