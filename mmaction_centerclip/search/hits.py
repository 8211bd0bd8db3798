"""Say which rows are more than chance, and join neighbours to moments."""
import os
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from .ranking import Ranking
from .records import Segments

__all__ = ['Chance', 'Hit', 'Matches', 'draw_background', 'find_hits']

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
        matches (bool): Whether that is more than chance: ``p_value`` is below
            0.05.
        p_value (float): How often the best of so many unrelated rows scores
            as much or more, see :class:`Chance`. Defaults to 1.
    """
    file: str
    start: float
    end: float
    score: float
    matches: bool
    p_value: float = 1.

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


@dataclass(frozen=True)
class Chance:
    """How a query's scores are distributed over rows that it is not meant for.

    By the median and the median absolute deviation, which the few rows that
    it is meant for hardly move. Scores are taken to be normal and of rows that
    know nothing of each other; the best of N is then at most x with the
    probability of one row to the power of N. Neighbours in a film are alike,
    so that there is less chance than that.

    Attributes:
        median (float): Of the scores.
        deviation (float): The median absolute deviation times 1.4826, which
            makes it a normal distribution's standard deviation.
        count (int): Rows, N.
    """
    median: float
    deviation: float
    count: int

    @classmethod
    def of(cls, scores: np.ndarray, count: int) -> 'Chance':
        """Measure the scores of rows drawn at random, (B, ), of N rows.

        Examples:
            >>> chance = Chance.of(np.array([0., .1, .2, .3, .4]), 100)
            >>> round(chance.threshold, 2), round(chance.p_value(chance.threshold), 3)
            (0.69, 0.05)
        """
        median = float(np.median(scores))
        return cls(median, 1.4826 * float(np.median(np.abs(scores - median))), count)

    @property
    def threshold(self) -> float:
        """The score that the best of N rows passes for one query in 20."""
        tail = -np.expm1(np.log1p(-FALSE_MATCHES) / self.count)
        return self.median + self.deviation * float(norm.isf(tail))

    def p_value(self, score: float) -> float:
        """Return how often the best of N rows has this score or more."""
        if not self.deviation:
            return float(score <= self.median)
        z = (score - self.median) / self.deviation
        return float(-np.expm1(self.count * norm.logcdf(z)))


def draw_background(count: int, most: int = BACKGROUND) -> np.ndarray:
    """Draw the rows whose scores say what chance is, always the same ones.

    Args:
        count (int): Rows of the index.
        most (int): Rows to draw. Defaults to 4096.

    Returns:
        np.ndarray: All rows, or ``most`` of them at random, ascending.
    """
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def find_hits(ranking: Ranking, file_of: np.ndarray, segments: Segments,
              topk: int, min_score: float, median: float) -> list[tuple]:
    """Join rows that follow each other to hits.

    The best row that is left begins a hit. It takes in the rows before and
    behind it, as long as they touch, are of the same file, and score at least
    ``min_score`` and half of what the best has above the median.

    Args:
        ranking (Ranking): The rows, by score.
        file_of (np.ndarray): The number of each row's file, (N, ).
        segments (Segments): The rows, by file and start.
        topk (int): Hits at most.
        min_score (float): Of a hit at least.
        median (float): Of the scores.

    Returns:
        list[tuple]: Of each hit the first and the last row, and the score;
        the best first, equal ones in the order of the rows.
    """
    used, hits = set(), []

    def joins(row: int, before: int, behind: int, floor: float) -> bool:
        return (0 <= row < len(file_of) and row not in used
                and file_of[before] == file_of[behind]
                and segments.start[behind] - segments.end[before] <= TOUCHING
                and ranking[row] >= floor)

    for row in ranking:
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
