"""Score rows: all of them, or the best and who else is asked for."""
from collections.abc import Callable, Iterator

import numpy as np
import torch

__all__ = ['Ranking', 'SomeRows', 'exact_scores', 'product']

REFINED = 1024  # the best rows, whose scores are computed in float32
NEIGHBOURS = 64


class Ranking:
    """All rows, the best first.

    Iterating gives rows by falling score, equal ones in their order; an index
    gives a row's score.

    Args:
        scores (np.ndarray): float32 (N, ); -inf of rows that do not count.
    """
    whole = True
    """Iterating gives all rows."""

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = scores

    def __getitem__(self, row: int) -> float:
        return float(self._scores[row])

    def __iter__(self) -> Iterator[int]:
        """Sort only as many rows as are asked for."""
        scores = self._scores
        if len(scores) <= REFINED:
            yield from np.argsort(-scores, kind='stable').tolist()
            return
        lowest = np.partition(scores, -REFINED)[-REFINED]
        for rows in (np.flatnonzero(scores >= lowest), np.flatnonzero(scores < lowest)):
            yield from rows[np.argsort(-scores[rows], kind='stable')].tolist()


class SomeRows(Ranking):
    """The best rows, and scores of others that are computed when asked for.

    Args:
        rows (np.ndarray): The best rows, in any order, (K, ).
        scores (np.ndarray): Theirs, float32 (K, ).
        score (Callable, optional): Neighbouring rows, ascending, (B, ), to their
            scores, (B, ); it is asked for :data:`NEIGHBOURS` at a time. Defaults
            to None: others have none, -inf.
        count (int): Rows of the index. Defaults to 0, without ``score``.
    """
    whole = False

    def __init__(self, rows: np.ndarray, scores: np.ndarray,
                 score: Callable[[np.ndarray], np.ndarray] | None = None,
                 count: int = 0) -> None:
        order = np.lexsort((rows, -scores))
        self._scores = dict(zip(rows[order].tolist(), scores[order].tolist()))
        self._best, self._score, self._count = list(self._scores), score, count

    def __getitem__(self, row: int) -> float:
        if self._score is None:
            return self._scores.get(row, float('-inf'))
        if row not in self._scores:
            first = row - row % NEIGHBOURS
            rows = np.arange(first, min(first + NEIGHBOURS, self._count))
            for other, score in zip(rows.tolist(), self._score(rows).tolist()):
                self._scores.setdefault(other, score)
        return self._scores[row]

    def __iter__(self) -> Iterator[int]:
        return iter(self._best)

    @property
    def lowest(self) -> float:
        """The score of the last of the best rows."""
        return self[self._best[-1]]


def product(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Multiply some rows by a query in float32.

    By torch, whose conversion from float16 is several times as fast as numpy's.

    Args:
        vectors (np.ndarray): float16 (N, E).
        query (np.ndarray): float32 (E, ).
        rows (np.ndarray): Which, int64 (K, ).

    Returns:
        np.ndarray: float32 (K, ).
    """
    some = torch.from_numpy(vectors)[torch.from_numpy(rows)].float()
    return torch.mv(some, torch.from_numpy(query)).numpy()


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
    scores = torch.mv(torch.from_numpy(vectors),
                      torch.from_numpy(query).half()).float().numpy()
    best = np.arange(len(scores))
    if len(scores) > REFINED:
        best = np.argpartition(scores, -REFINED)[-REFINED:]
    scores[best] = product(vectors, query, best)
    return scores
