"""Score rows: all of them, or the best and who else is asked for."""
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ['Ranking', 'SomeRows', 'exact_scores', 'product']

REFINED = 1024  # the best rows, whose scores are computed in float32


class Ranking:
    """All rows, the best first.

    Iterating gives rows by falling score, equal ones in their order; an index
    gives a row's score.

    Args:
        scores (np.ndarray): float32 (N, ); -inf of rows that do not count.
    """
    whole = True
    """Whether iterating gives all rows."""

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
        score (Callable, optional): A row, (1, ), to its score, (1, ). Defaults
            to None: others have none, -inf.
    """
    whole = False

    def __init__(self, rows: np.ndarray, scores: np.ndarray, score=None) -> None:
        order = np.lexsort((rows, -scores))
        self._scores = dict(zip(rows[order].tolist(), scores[order].tolist()))
        self._best, self._score = list(self._scores), score

    def __getitem__(self, row: int) -> float:
        if row not in self._scores:
            self._scores[row] = float('-inf') if self._score is None else float(
                self._score(np.array([row]))[0])
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
