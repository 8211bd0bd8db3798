"""Similarities of all pairs, a bounded part of the matrix at a time."""
import contextlib
import copy
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from mmengine.dist import all_gather_object, all_reduce, get_dist_info
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.progress import track

from .feature_file import Features, RetrievalFeatures
from .functional import better_and_tied, check_finite, group_rank_counts

MIN_ROW_BLOCKS = 64  # at least, to be shared among processes and shown


@dataclass(frozen=True)
class Scorer:
    """Compare features of texts with features of videos.

    Attributes:
        function (Callable): Features of some texts and of some videos to
            their similarities (texts, videos).
        device (str | torch.device): Where to compare. Defaults to ``'cpu'``.
        dtype (torch.dtype, optional): Dtype of the features that the function
            gets. Defaults to None: as they are.
        max_pairs (int): Pairs to compare at a time. Defaults to 2 ** 18.
        progress (bool): Whether to show a progress bar. Defaults to False.

    Raises:
        InputError: If ``max_pairs`` is not a positive integer.
    """
    function: Callable[[Features, Features], Tensor]
    device: str | torch.device = 'cpu'
    dtype: torch.dtype | None = None
    max_pairs: int = 2**18
    progress: bool = False

    def __post_init__(self) -> None:
        check_positive_int('max_pairs', self.max_pairs)

    @torch.no_grad()
    def __call__(self, text: Features, video: Features) -> Tensor:
        """Return similarities (texts, videos), float32 on the CPU."""
        return self.function(text, video).float().cpu()

    def select(self, features: Features, items: slice) -> Features:
        """Return the features of some items as the function takes them."""
        return {name: x[items].to(self.device,
                                  self.dtype if x.is_floating_point() else None)
                for name, x in features.items()}


def choose_scorer(features: RetrievalFeatures,
                  head: nn.Module | None = None,
                  device: str | torch.device | None = None,
                  dtype: torch.dtype = torch.float64,
                  max_pairs: int = 2**18,
                  progress: bool = False) -> Scorer:
    """Decide who compares features: products of vectors, or a head.

    Args:
        features (RetrievalFeatures): What is to be compared.
        head (nn.Module, optional): The head that they are of, which is
            copied. Defaults to None: the one that the features know.
        device (str | torch.device, optional): Where to compare. Defaults to
            None: where the head is, or the CPU.
        dtype (torch.dtype): In which a head compares; products of vectors are
            float64. Defaults to ``torch.float64``.
        max_pairs (int): See :class:`Scorer`. Defaults to 2 ** 18.
        progress (bool): Whether a head shows a progress bar. Defaults to False.
    """
    if device is None:
        device = 'cpu' if head is None else head.logit_scale.device
    if features.separable:
        return Scorer(product_scores, device, torch.float64, max_pairs)

    @functools.cache  # Known similarities may do without.
    def own_head() -> nn.Module:
        own = features.build_head() if head is None else copy.deepcopy(head)
        return own.to(device, dtype)

    return Scorer(lambda text, video: own_head().similarity(text, video),
                  device, dtype, max_pairs, progress)


def product_scores(text: Features, video: Features) -> Tensor:
    """Multiply vectors ``text`` (texts, E) and ``video`` (videos, E).

    In float64, rounded to float32 (texts, videos), so that values, and ties,
    do not depend on how many of them a matrix product is asked for at once.
    """
    return (text['text'].double() @ video['video'].double().T).float()


def rank_counts_in_chunks(scorer: Scorer, text: Features, video: Features,
                          video_of_text: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Count better and tied candidates, as :func:`rank_counts` of the matrix.

    Each process scores a part of the texts with all videos. No process holds more of
    the matrix than ``max_pairs`` pairs or one text's, and, for the video-to-text
    direction, the best caption of every group for every video, which is a (videos,
    videos) matrix. Arguments as for :func:`score_matrix` and :func:`rank_counts`.
    """
    counts = torch.zeros(2, _count(text), dtype=torch.float64)
    groups = torch.full((_count(video), ) * 2, -torch.inf)
    with raised_together():
        for rows, scores in _own_rows(scorer, text, video):
            own = video_of_text[rows]
            counts[:, rows] = torch.stack(better_and_tied(scores, own))
            groups.scatter_reduce_(0, own[:, None].expand_as(scores), scores, 'amax')
    all_reduce(counts, 'max')  # Other processes' rows are zero here.
    all_reduce(groups, 'max')
    return dict(t2v=(counts[0], counts[1]),
                v2t=group_rank_counts(groups, video_of_text))


def score_matrix(scorer: Scorer, text: Features, video: Features) -> Tensor:
    """Score all pairs.

    Args:
        scorer (Scorer): Compares them.
        text (dict[str, Tensor]): Features of all texts, alike on every process.
        video (dict[str, Tensor]): Features of all videos, likewise.

    Returns:
        Tensor: Float32 (texts, videos), on every process.

    Raises:
        InputError: If a similarity is not finite.
    """
    matrix = torch.full((_count(text), _count(video)), -torch.inf)
    with raised_together():
        for rows, scores in _own_rows(scorer, text, video):
            matrix[rows] = scores
    all_reduce(matrix, 'max')  # Other processes' rows are -inf here.
    return matrix


def _own_rows(scorer: Scorer, text: Features,
              video: Features) -> Iterator[tuple[slice, Tensor]]:
    """Score this process's share of the texts, a few at a time."""
    texts, videos = _count(text), _count(video)
    width = min(videos, scorer.max_pairs)
    height = min(max(1, scorer.max_pairs // width), math.ceil(texts / MIN_ROW_BLOCKS))
    rank, world_size = get_dist_info()
    rows = list(_equal_slices(texts, height))[rank::world_size]
    columns = [column for column, _ in _equal_slices(videos, width)]
    # All videos at once where they are few enough, not for each rows again.
    whole = scorer.select(video, columns[0]) if len(columns) == 1 else None
    if scorer.progress and rank == 0:
        rows = track(rows)
    for row, new in rows:
        some = scorer.select(text, row)
        scores = torch.empty(height, videos)
        for column in columns:
            scores[:, column] = scorer(some, whole or scorer.select(video, column))
        check_finite('similarity (texts, videos)', scores, row.start)
        yield slice(new, row.stop), scores[new - row.start:]


def _equal_slices(count: int, size: int) -> Iterator[tuple[slice, int]]:
    """Yield slices of one size, and the first item of each that is new.

    A matrix product of another shape rounds otherwise; so the last slice
    overlaps the one before it instead of being shorter.
    """
    for new in range(0, count, size):
        start = min(new, count - size)
        yield slice(start, start + size), new


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


def _count(features: Features) -> int:
    return len(next(iter(features.values())))
