"""The scores of an evaluation, a bounded part of the matrix at a time."""
import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from mmengine.dist import all_gather_object, all_reduce, get_dist_info
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.utils.progress import track

from .feature_file import Features, RetrievalFeatures
from .functional import (
    TOPK,
    Counts,
    add_to_groups,
    better_and_tied,
    check_finite,
    group_counts,
    metrics_of_counts,
    relevance_metrics,
    video_counts,
)

MIN_ROW_BLOCKS = 64  # at least, to be shared among processes and shown


@dataclass(frozen=True)
class Scorer:
    """Compare features of texts with features of videos."""
    function: Callable[[Features, Features], Tensor]  # (texts, videos)
    device: str | torch.device = 'cpu'
    dtype: torch.dtype | None = None  # None: as they are
    max_pairs: int = 2**18  # to compare at a time
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


class Scores:
    """Similarities of all texts and videos, which metrics read and re-rankings change.

    They are computed when asked for: :attr:`counts` a bounded part at a time,
    :attr:`matrices` at once. Of those given, as by a re-ranking, ``t2v`` and ``v2t``
    each mean nothing in the other direction.
    """

    def __init__(self, features: RetrievalFeatures, scorer: Scorer | None = None,
                 matrices: dict[str, Tensor] | None = None) -> None:
        self.features = features
        self.scorer = scorer or choose_scorer(features)
        if matrices is not None:
            self.matrices = matrices
        elif features.similarity is not None:
            self.matrices = dict.fromkeys(('t2v', 'v2t'), features.similarity)

    @property
    def video_of_text(self) -> Tensor:
        """Each caption's own video, int64 (texts, )."""
        return self.features.video_of_text

    @cached_property
    def matrices(self) -> dict[str, Tensor]:
        """Similarities (texts, videos) of ``t2v`` and ``v2t``."""
        matrix = score_matrix(self.scorer, self.features.text, self.features.video)
        return dict(t2v=matrix, v2t=matrix)

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Better and tied candidates, see :func:`better_and_tied`, by direction."""
        if 'matrices' not in vars(self):
            return self._counts_in_chunks()
        count = dict(t2v=better_and_tied, v2t=video_counts)
        return {direction: count[direction](matrix, self.video_of_text)
                for direction, matrix in self.matrices.items()}

    @cached_property
    def relevance(self) -> dict[str, float]:
        """See :func:`relevance_metrics`; mAP and NDCG share its sort."""
        return {name: value for direction, matrix in self.matrices.items()
                for name, value in relevance_metrics(
                    matrix, self.video_of_text, (direction, )).items()}

    def figures(self, topk: Sequence[int] = TOPK) -> dict[str, float]:
        """Return recalls and ranks, see :func:`retrieval_metrics`."""
        return metrics_of_counts(self.counts, topk)

    def replace(self, **matrices: Tensor) -> 'Scores':
        """Return scores of the same videos and captions with other similarities."""
        return Scores(self.features, self.scorer, matrices)

    def _counts_in_chunks(self) -> dict[str, Counts]:
        """Count a few texts at a time; each process holds groups (videos, videos)."""
        text, video, own = self.features.text, self.features.video, self.video_of_text
        counts = torch.zeros(2, _count(text), dtype=torch.float64)
        groups = torch.full((_count(video), ) * 2, -torch.inf)
        with raised_together():
            for rows, scores in _own_rows(self.scorer, text, video):
                counts[:, rows] = torch.stack(better_and_tied(scores, own[rows]))
                add_to_groups(groups, scores, own[rows])
        all_reduce(counts, 'max')  # Other processes' rows are zero here.
        all_reduce(groups, 'max')
        return dict(t2v=(counts[0], counts[1]), v2t=group_counts(groups, own))


def choose_scorer(features: RetrievalFeatures, head: nn.Module | None = None,
                  device: str | torch.device | None = None,
                  dtype: torch.dtype = torch.float64, max_pairs: int = 2**18,
                  progress: bool = False) -> Scorer:
    """Decide who compares features: products of vectors, in float64, or a head.

    A given ``head`` is copied; None: the one that the features know, where it is
    needed. ``device`` None: where the head is, or the CPU.
    """
    if device is None:
        device = 'cpu' if head is None else head.logit_scale.device
    if features.separable:
        return Scorer(product_scores, device, torch.float64, max_pairs)

    @cache  # Known similarities may do without.
    def own_head() -> nn.Module:
        own = features.build_head() if head is None else copy.deepcopy(head)
        return own.to(device, dtype)

    return Scorer(lambda text, video: own_head().similarity(text, video),
                  device, dtype, max_pairs, progress)


def product_scores(text: Features, video: Features) -> Tensor:
    """Multiply vectors (count, E), in float64 lest ties depend on the chunk size."""
    return (text['text'].double() @ video['video'].double().T).float()


def score_matrix(scorer: Scorer, text: Features, video: Features) -> Tensor:
    """Score all pairs, float32 (texts, videos), alike on every process."""
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
    """Yield slices of one size, the last overlapping, and each one's first new item."""
    # A matrix product of another shape rounds otherwise.
    for new in range(0, count, size):
        start = min(new, count - size)
        yield slice(start, start + size), new


@contextlib.contextmanager
def raised_together() -> Iterator[None]:
    """Raise an error in all processes, in the others as an InputError of its text."""
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
