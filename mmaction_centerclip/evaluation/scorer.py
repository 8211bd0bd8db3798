"""Ranks of all pairs from features, a bounded part of the matrix at a time."""
import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from mmengine.dist import (
    all_gather_object,
    all_reduce,
    get_comm_device,
    get_dist_info,
    get_world_size,
)
from mmengine.utils import ProgressBar
from torch import Tensor

from mmaction_centerclip.errors import InputError

from .functional import check_finite, expected_ranks

__all__ = [
    'Features', 'Scorer', 'product_scores', 'raised_together', 'score_matrix',
    'score_ranks'
]

Features = dict[str, Tensor]
"""What a head keeps of videos or captions, tensors (B, ...)."""
Scorer = Callable[[Features, Features], Tensor]
"""Features of texts and of videos to similarities (texts, videos)."""

MIN_STEPS = 64  # of a scoring, to be shared among processes and shown


def product_scores(text: Features, video: Features) -> Tensor:
    """Inner products of ``text`` and ``video`` vectors (texts, videos).

    Computed in float64 and rounded to float32, so that values, and ties, do
    not depend on how many of them a matrix product is asked for at once.

    Args:
        text (dict[str, Tensor]): With ``text`` (texts, E).
        video (dict[str, Tensor]): With ``video`` (videos, E).

    Returns:
        Tensor: Float32 (texts, videos).
    """
    return (text['text'].double() @ video['video'].double().T).float()


def score_ranks(scorer: Scorer,
                text: Features,
                video: Features,
                video_of_text: Tensor,
                max_pairs: int = 2**18,
                device: str | torch.device = 'cpu',
                dtype: torch.dtype | None = None,
                progress: bool = False) -> dict[str, tuple[Tensor, Tensor]]:
    """Ranks in both directions, as :func:`rank_counts` of the whole matrix.

    Each process scores a part of the texts with all videos. No process holds
    more of the matrix than ``max_pairs`` pairs or one text's, and, for the
    video-to-text direction, the best caption of every group for every video,
    which is a (videos, videos) matrix.

    Args:
        scorer (Callable): See ``Scorer``.
        text (dict[str, Tensor]): Features of all texts, alike on every
            process.
        video (dict[str, Tensor]): Features of all videos, likewise.
        video_of_text (Tensor): Each text's own video, int64 (texts, ).
        max_pairs (int): Pairs to score at a time. Defaults to 2 ** 18.
        device (str | torch.device): Where to score. Defaults to ``'cpu'``.
        dtype (torch.dtype, optional): Of the features that the scorer gets.
            Defaults to None: as they are.
        progress (bool): Whether to show a progress bar. Defaults to False.

    Returns:
        dict[str, tuple[Tensor, Tensor]]: See :func:`rank_counts`.

    Raises:
        InputError: If a similarity is not finite, or ``max_pairs`` is not
            positive.
    """
    texts, videos = _count(text), _count(video)
    better = torch.zeros(texts, dtype=torch.int64)
    tied = torch.zeros(texts, dtype=torch.int64)
    groups = torch.full((videos, videos), -torch.inf)
    with raised_together():
        for rows, scores in _score_rows(scorer, text, video, max_pairs, device,
                                        dtype, progress):
            own = video_of_text[rows]
            at_own = scores.gather(1, own[:, None])
            better[rows] = (scores > at_own).sum(dim=1)
            tied[rows] = (scores == at_own).sum(dim=1) - 1
            groups.scatter_reduce_(
                0, own[:, None].expand_as(scores), scores, 'amax')
    if get_world_size() > 1:
        # Other processes' rows are zero here.
        better, tied, groups = (_maximum(x) for x in (better, tied, groups))
    described = video_of_text.unique()
    return dict(
        t2v=(better.double(), tied.double()),
        v2t=expected_ranks(groups[:, described].T, described))


def score_matrix(scorer: Scorer,
                 text: Features,
                 video: Features,
                 max_pairs: int = 2**18,
                 device: str | torch.device = 'cpu',
                 dtype: torch.dtype | None = None,
                 progress: bool = False) -> Tensor:
    """Score all pairs.

    Args:
        scorer (Callable): See ``Scorer``.
        text (dict[str, Tensor]): As for :func:`score_ranks`.
        video (dict[str, Tensor]): As for :func:`score_ranks`.
        max_pairs (int): Pairs to score at a time. Defaults to 2 ** 18.
        device (str | torch.device): Where to score. Defaults to ``'cpu'``.
        dtype (torch.dtype, optional): Of the features that the scorer gets.
            Defaults to None: as they are.
        progress (bool): Whether to show a progress bar. Defaults to False.

    Returns:
        Tensor: Float32 (texts, videos), on every process.

    Raises:
        InputError: If a similarity is not finite, or ``max_pairs`` is not
            positive.
    """
    with raised_together():
        parts = list(
            _score_rows(scorer, text, video, max_pairs, device, dtype,
                        progress))
    matrix = torch.empty(_count(text), _count(video))
    for part in all_gather_object(parts):
        for rows, scores in part:
            matrix[rows] = scores
    return matrix


def _score_rows(scorer: Scorer, text: Features, video: Features,
                max_pairs: int, device: str | torch.device,
                dtype: torch.dtype | None,
                progress: bool) -> Iterator[tuple[slice, Tensor]]:
    """This process's share of the rows, a few at a time, on the CPU."""
    if max_pairs < 1:
        raise InputError(f'max_pairs must be positive, got {max_pairs!r}')
    texts, videos = _count(text), _count(video)
    width = min(videos, max_pairs)
    height = min(max(1, max_pairs // width), math.ceil(texts / MIN_STEPS))
    rows = list(_tiles(texts, height))
    columns = [column for column, _ in _tiles(videos, width)]
    rank, world_size = get_dist_info()
    rows = rows[rank::world_size]
    # All videos at once where they are few enough, not for each rows again.
    whole = _take(video, columns[0], device, dtype) if len(columns) == 1 else None
    bar = ProgressBar(len(rows)) if progress and rank == 0 else None
    for part, new in rows:
        some = _take(text, part, device, dtype)
        scores = torch.empty(part.stop - part.start, videos)
        for column in columns:
            candidates = whole or _take(video, column, device, dtype)
            with torch.no_grad():
                scores[:, column] = scorer(some, candidates).float().cpu()
        check_finite(scores, part.start)
        yield slice(new, part.stop), scores[new - part.start:]
        if bar is not None:
            bar.update()
    if bar is not None:
        bar.file.write('\n')


@contextlib.contextmanager
def raised_together() -> Iterator[None]:
    """Raise an error in all processes, which would wait for the one otherwise.

    Raises:
        InputError: In the other processes, with the error's text.
    """
    error = None
    try:
        yield
    except Exception as raised:
        error = raised
    texts = all_gather_object(None if error is None else str(error))
    if error is not None:
        raise error
    for text in filter(None, texts):
        raise InputError(text)


def _tiles(count: int, size: int) -> Iterator[tuple[slice, int]]:
    """Slices of one size, and the first of each that no other one has.

    Of one size, because a matrix product of another shape rounds otherwise;
    so the last slice overlaps the one before it.
    """
    for new in range(0, count, size):
        start = min(new, count - size)
        yield slice(start, start + size), new


def _take(features: Features, part: slice, device: str | torch.device,
          dtype: torch.dtype | None) -> Features:
    return {
        name: x[part].to(device, dtype if x.is_floating_point() else None)
        for name, x in features.items()
    }


def _count(features: Features) -> int:
    return len(next(iter(features.values())))


def _maximum(tensor: Tensor) -> Tensor:
    tensor = tensor.to(get_comm_device())
    all_reduce(tensor, op='max')
    return tensor.cpu()
