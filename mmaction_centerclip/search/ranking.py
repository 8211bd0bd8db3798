"""Score segments, and join neighbours to moments."""
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from mmaction_centerclip.errors import InputError, check_number, check_positive_int

from .records import Segments

REFINED = 1024  # the best segments, whose scores are computed in float32
NEIGHBOURS = 3  # segments on each side that are scored with one
AHEAD = 16  # of the best, whose neighbours are scored at once
BACKGROUND = 4096  # segments whose scores have the median of all
TOUCHING = 1e-3  # seconds
LEAST_LEFT = 1e-3  # of a query's length: less is rounding


@dataclass(frozen=True)
class Hit:
    """A moment of a video."""
    file: str
    start: float  # the in point, in seconds
    end: float  # the out point
    score: float  # of its best segment

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return os.path.basename(self.file)

    @property
    def middle(self) -> float:
        """The time between in and out point, in seconds."""
        return (self.start + self.end) / 2


class Ranking:
    """The numbers of all segments, the best first, equal ones in their order.

    An index gives a segment's score. ``scores`` are float32 (N, ), and -inf of segments
    that do not count.
    """
    lowest = float('-inf')
    """No segment that iterating leaves out scores more."""

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = scores

    def __getitem__(self, row: int) -> float:
        return float(self._scores[row])

    def __iter__(self) -> Iterator[int]:
        """Sort only as many as are asked for."""
        scores, count = self._scores, min(REFINED, len(self._scores))
        lowest = np.partition(scores, -count)[-count]
        for rows in (np.flatnonzero(scores >= lowest), np.flatnonzero(scores < lowest)):
            yield from rows[np.argsort(-scores[rows], kind='stable')].tolist()


class PartialRanking(Ranking):
    """The best segments, and scores of others that are computed when asked for.

    ``rows`` are the numbers of the best, ascending, (K, ). ``score`` takes numbers of
    some of all ``count`` segments, ascending, and returns their scores.
    """

    def __init__(self, rows: np.ndarray, score: Callable[[np.ndarray], np.ndarray],
                 count: int) -> None:
        scores = score(rows)
        order = np.argsort(-scores, kind='stable')
        self._scores = dict(zip(rows[order].tolist(), scores[order].tolist()))
        self._best, self._score, self._count = list(self._scores), score, count
        self.lowest = float(scores.min())
        self._compute(self._best[:AHEAD])

    def __getitem__(self, row: int) -> float:
        if row not in self._scores:
            self._compute([row])
        return self._scores[row]

    def _compute(self, near: list[int]) -> None:
        """Keep the scores of segments near to some, too, on both sides."""
        rows = np.unique(np.add.outer(near, np.arange(-NEIGHBOURS, NEIGHBOURS + 1)))
        rows = np.array([row for row in rows.tolist() if 0 <= row < self._count
                         and row not in self._scores], np.int64)
        for row, score in zip(rows.tolist(), self._score(rows).tolist()):
            self._scores[row] = score

    def __iter__(self) -> Iterator[int]:
        return iter(self._best)


def product(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Multiply some rows (K, ) of vectors (N, E) by a query (E, ) in float32: (K, ).

    By torch, whose conversion from float16 is several times as fast as numpy's.
    """
    some = torch.from_numpy(vectors[rows]).float()
    return torch.mv(some, torch.from_numpy(query)).numpy()


def exact_scores(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Multiply all vectors, float16 (N, E), by a query, float32 (E, ): float32 (N, ).

    Torch reads float16 without a copy. The best :data:`REFINED` scores are computed
    anew in float32; the others are rounded to float16.
    """
    scores = torch.mv(torch.from_numpy(vectors),
                      torch.from_numpy(query).half()).float().numpy()
    count = min(REFINED, len(scores))
    best = np.argpartition(scores, -count)[-count:]
    scores[best] = product(vectors, query, best)
    return scores


def draw_background(count: int, most: int = BACKGROUND) -> np.ndarray:
    """Draw at most so many of ``count`` segments, always the same: ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def find_hits(ranking: Ranking, file_of: np.ndarray, segments: Segments,
              topk: int, min_score: float, median: float,
              most: int | None = None) -> list[tuple]:
    """Join segments that follow each other to moments.

    The best segment that is left begins a moment. It takes in those before and behind
    it, as long as they touch, are of the same file (``file_of``, (N, )), and score at
    least ``min_score`` and half of what the best has above the median. Return first and
    last segment, and score, of each, the best first. ``segments`` are by file and
    start. Only the ``most`` best segments, None: all, begin a moment.
    """
    used, hits = set(), []

    def joins(row: int, before: int, behind: int, floor: float) -> bool:
        return (0 <= row < len(file_of) and row not in used
                and file_of[before] == file_of[behind]
                and segments.start[behind] - segments.end[before] <= TOUCHING
                and ranking[row] >= floor)

    for row in islice(ranking, most):
        score = ranking[row]
        if len(hits) == topk or score < min_score:
            break
        if row in used:
            continue
        floor = max(min_score, (score + median) / 2)
        first = last = row
        while joins(first - 1, first - 1, first, floor):
            first -= 1
        while joins(last + 1, last, last + 1, floor):
            last += 1
        used.update(range(first, last + 1))
        hits.append((first, last, score))
    return hits


def lowest_score(min_score: float | None) -> float:
    """Return what a segment must score, where none given means any."""
    return np.finfo(np.float32).min if min_score is None else check_number(
        'min_score', min_score, lambda x: True, 'a number')


def exclude_vectors(query: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Make a query (E, ) orthogonal to what is excluded, (K, E), of unit length.

    The vector negation "a NOT (b OR c)" of Widdows, "Orthogonal Negation in Vector
    Spaces for Modelling Word-Meanings and Document Retrieval" (ACL 2003). A model of
    captions does not read "without" or "no".

    Examples:
        >>> exclude_vectors(np.array([.6, .8, 0]), np.array([[1., 0, 0]])).tolist()
        [0.0, 1.0, 0.0]
    """
    weights = np.linalg.lstsq(excluded.T, query, rcond=None)[0]
    left = query - excluded.T @ weights
    length = float(np.linalg.norm(left))
    if length <= LEAST_LEFT * np.linalg.norm(query):
        raise InputError('exclude: nothing is left of the query')
    return (left / length).astype(query.dtype)


def join_moments(rows: Iterable[Hit], median: float, topk: int = 10,
                 min_score: float | None = None, best: int | None = None) -> list[Hit]:
    """Join segments that an engine has compared with a query, see :func:`find_hits`.

    They are the moments that :meth:`VideoIndex.search` finds, the best first. Fewer
    than ``topk`` where the ``best`` segments make no more: ask the engine for more.

    Args:
        rows (Iterable[Hit]): Segments with their scores, in any order, each as a moment
            of its own: all of each file that has one of the best. One that is left out
            ends a moment.
        median (float): Of the scores of the ``background`` of :func:`export_rows`.
        min_score (float, optional): The lowest score of a segment in a moment.
        best (int, optional): How many of the best segments of the whole index are among
            ``rows``; no other begins a moment, since a file that was not asked for may
            have a better one. None: ``rows`` are the whole index.

    Examples:
        >>> rows = [Hit('a.mp4', second, second + 1, score)
        ...         for second, score in enumerate([.1, .4, .5, .2])]
        >>> join_moments(rows, median=.1, topk=1)
        [Hit(file='a.mp4', start=1, end=3, score=0.5)]
    """
    check_positive_int('topk', topk)
    if best is not None:
        check_positive_int('best', best)
    check_number('median', median, lambda x: True, 'a number')
    lowest = lowest_score(min_score)
    # An engine that is asked twice may give one twice.
    ordered = sorted({(hit.file, hit.start): hit for hit in rows}.values(),
                     key=lambda hit: (hit.file, hit.start))
    if not ordered:
        return []
    scores = np.array([hit.score for hit in ordered], np.float32)
    if not np.isfinite(scores).all():
        raise InputError('rows have scores that are not finite')
    _, file_of = np.unique([hit.file for hit in ordered], return_inverse=True)
    segments = Segments(*np.array([(hit.start, hit.end) for hit in ordered]).T,
                        np.empty((len(ordered), 0), np.float16))
    found = find_hits(Ranking(scores), file_of, segments, topk, lowest, float(median),
                      best)
    return [Hit(ordered[first].file, ordered[first].start, ordered[last].end, score)
            for first, last, score in found]
