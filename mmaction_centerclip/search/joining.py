"""Join segments that a search engine has compared to moments."""
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from mmaction_centerclip.errors import InputError, check_number, check_positive_int

from .ranking import Hit, Ranking, find_hits
from .records import Segments


class _BestRanking(Ranking):
    """Segments of which only the best so many begin a moment."""

    def __init__(self, scores: np.ndarray, best: int | None) -> None:
        super().__init__(scores)
        self._best = best

    def __iter__(self) -> Iterator[int]:
        return islice(super().__iter__(), self._best)


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
    lowest = np.finfo(np.float32).min if min_score is None else check_number(
        'min_score', min_score, lambda x: True, 'a number')
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
    found = find_hits(_BestRanking(scores, best), file_of, segments, topk, lowest,
                      float(median))
    return [Hit(ordered[first].file, ordered[first].start, ordered[last].end, score)
            for first, last, score in found]
