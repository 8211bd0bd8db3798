"""Join neighbouring rows to moments."""
import os
from dataclasses import dataclass

import numpy as np

from .ranking import Ranking
from .records import Segments

__all__ = ['Hit', 'draw_background', 'find_hits']

BACKGROUND = 4096  # rows whose scores have the median of all
TOUCHING = 1e-3  # seconds


@dataclass(frozen=True)
class Hit:
    """A moment of a video.

    Attributes:
        file (str): The video's file.
        start (float): The in point, in seconds.
        end (float): The out point.
        score (float): Of its best segment.
    """
    file: str
    start: float
    end: float
    score: float

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return os.path.basename(self.file)


def draw_background(count: int, most: int = BACKGROUND) -> np.ndarray:
    """Draw rows at random, always the same ones.

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
