"""Compare a query with all rows, and join neighbours to moments."""
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import norm

from .store import Segments

__all__ = ['Hit', 'Matches', 'exact_scores', 'find_hits', 'no_match_threshold']

REFINED = 1024  # the best rows, whose scores are computed in float32
BACKGROUND = 4096  # rows that say how scores are distributed
FALSE_MATCHES = 0.05
TOUCHING = 1e-3  # seconds


@dataclass(frozen=True)
class Hit:
    """A moment of a video.

    Attributes:
        file (str): The video's file.
        start (float): The in point, in seconds.
        end (float): The out point.
        score (float): Of its best segment.
        matches (bool): Whether that is more than chance, see
            :func:`no_match_threshold`.
    """
    file: str
    start: float
    end: float
    score: float
    matches: bool

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return os.path.basename(self.file)


@dataclass(frozen=True)
class Matches:
    """The hits of a search.

    Attributes:
        hits (list[Hit]): The best first.
        threshold (float): The score above which a row is no chance.
        median (float): That of the scores of all rows.
    """
    hits: list[Hit]
    threshold: float
    median: float


def exact_scores(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Multiply all rows by a query.

    By torch, which reads float16 as it is: no library of indexes that copies
    the rows first is needed. The best :data:`REFINED` scores are computed
    anew in float32; the others are rounded to float16.

    Args:
        vectors (np.ndarray): float16 (N, E).
        query (np.ndarray): float32 (E, ).

    Returns:
        np.ndarray: float32 (N, ).
    """
    rows = torch.from_numpy(vectors)
    scores = torch.mv(rows, torch.from_numpy(query).half()).float().numpy()
    best = np.arange(len(scores))
    if len(scores) > REFINED:
        best = np.argpartition(scores, -REFINED)[-REFINED:]
    scores[best] = vectors[best].astype(np.float32) @ query
    return scores


def no_match_threshold(scores: np.ndarray) -> tuple[float, float]:
    """Say which scores are more than the best of so many unrelated rows.

    The median and the median absolute deviation (times 1.4826, which makes it
    a normal distribution's standard deviation) say how a query's scores are
    distributed, whatever the few rows that it is meant for score. The best
    of N normal scores is above the threshold for 5% of queries
    (:data:`FALSE_MATCHES`).

    Args:
        scores (np.ndarray): Of one query and all rows, (N, ).

    Returns:
        tuple[float, float]: The threshold, and the median.
    """
    drawn = scores[np.linspace(0, len(scores) - 1, min(
        len(scores), BACKGROUND), dtype=np.int64)]
    median = float(np.median(drawn))
    deviation = 1.4826 * float(np.median(np.abs(drawn - median)))
    return median + deviation * float(norm.isf(FALSE_MATCHES / len(scores))), median


def find_hits(scores: np.ndarray, file_of: np.ndarray, segments: Segments,
              topk: int, min_score: float, median: float) -> list[tuple]:
    """Join rows that follow each other to hits.

    The best row that is left begins a hit. It takes in the rows before and
    behind it, as long as they touch, are of the same file, and score at least
    ``min_score`` and half of what the best has above the median.

    Args:
        scores (np.ndarray): float32 (N, ).
        file_of (np.ndarray): The number of each row's file, (N, ).
        segments (Segments): The rows, by file and start.
        topk (int): Hits at most.
        min_score (float): Of a hit at least.
        median (float): Of the scores.

    Returns:
        list[tuple]: Of each hit the first and the last row, and the score;
        the best first, equal ones in the order of the rows.
    """
    used, hits = np.zeros(len(scores), bool), []

    def joins(row: int, before: int, behind: int, floor: float) -> bool:
        return (0 <= row < len(scores) and not used[row] and scores[row] >= floor
                and file_of[before] == file_of[behind]
                and segments.start[behind] - segments.end[before] <= TOUCHING)

    for row in _best_rows(scores):
        if len(hits) == topk or scores[row] < min_score:
            break
        if used[row]:
            continue
        floor = max(min_score, (scores[row] + median) / 2)
        first = last = row
        while joins(first - 1, first - 1, first, floor):
            first -= 1
        while joins(last + 1, last, last + 1, floor):
            last += 1
        used[first:last + 1] = True
        hits.append((int(first), int(last), float(scores[row])))
    return hits


def _best_rows(scores: np.ndarray) -> Iterator[int]:
    """Yield rows by falling score, sorting only as many as are asked for."""
    if len(scores) > REFINED:
        best = np.argpartition(scores, -REFINED)[-REFINED:]
        lowest = scores[best].min()
        best = np.flatnonzero(scores >= lowest)
        yield from best[np.argsort(-scores[best], kind='stable')]
        rest = np.flatnonzero(scores < lowest)
        yield from rest[np.argsort(-scores[rest], kind='stable')]
    else:
        yield from np.argsort(-scores, kind='stable')
