"""The vectors of an index in memory, and their comparison with a query."""
import fnmatch
from collections.abc import Sequence

import numpy as np

from mmaction_centerclip.errors import InputError

from .compressed import CompressedRows, can_compress, open_compressed
from .hits import Hit, draw_background, find_hits
from .ranking import Ranking, SomeRows, exact_scores, product
from .records import Segments

__all__ = ['Rows']

# From where comparing all rows takes longer than 20 ms on two cores.
COMPRESSED_FROM = 200_000
CANDIDATES = 1024  # the best compressed rows, which are compared themselves


class Rows:
    """All rows of an index.

    Args:
        paths (list[str]): The files.
        file_of (np.ndarray): The number of each row's file, int32 (N, ).
        segments (Segments): The rows, by file and start.
        compressed_path (str): Where the compressed rows are kept.
    """

    def __init__(self, paths: list[str], file_of: np.ndarray, segments: Segments,
                 compressed_path: str) -> None:
        self.paths, self.file_of, self.segments = paths, file_of, segments
        self._background = segments.vectors[draw_background(len(file_of))].astype(
            np.float32)
        self._path, self._compressed = compressed_path, None

    def __len__(self) -> int:
        return len(self.file_of)

    @property
    def width(self) -> int:
        """How many values a vector has."""
        return self.segments.vectors.shape[1]

    def of_files(self, patterns: Sequence[str]) -> np.ndarray:
        """Return which rows are of files like one of the patterns, bool (N, )."""
        return np.array([any(fnmatch.fnmatch(path, p) for p in patterns)
                         for path in self.paths], bool)[self.file_of]

    def mean_of(self, hit: Hit) -> np.ndarray:
        """Return the mean of a moment's own rows, of length 1, float32 (E, ).

        Raises:
            InputError: If there is no row of that file and time.
        """
        own = np.array([path == hit.file for path in self.paths], bool)[self.file_of]
        own &= (self.segments.start < hit.end - 1e-6)
        own &= (self.segments.end > hit.start + 1e-6)
        if not own.any():
            raise InputError(f'the index has no row of {hit.file} from {hit.start} to '
                             f'{hit.end} seconds')
        mean = self.segments.vectors[own].astype(np.float32).mean(0)
        return mean / np.linalg.norm(mean)

    def compressed(self) -> CompressedRows:
        """Return the compressed rows, read or made when first asked for."""
        if self._compressed is None:
            self._compressed = open_compressed(self._path, self.segments.vectors)
        return self._compressed

    def is_compressed(self, exact: bool | None) -> bool:
        """Return whether a search goes by compressed rows.

        Raises:
            InputError: If it must, and cannot.
        """
        can = can_compress(self.segments.vectors)
        if exact is False and not can:
            raise InputError('exact=False needs faiss-cpu, which is not installed, and '
                             "features of even width: pip install 'faiss-cpu'")
        if not can or len(self) <= CANDIDATES:  # All would be candidates.
            return False
        return len(self) >= COMPRESSED_FROM if exact is None else not exact

    def rank(self, query: np.ndarray, exact: bool | None = None,
             fits: np.ndarray | None = None) -> Ranking:
        """Compare rows with a query.

        Args:
            query (np.ndarray): float32 (E, ).
            exact (bool, optional): Whether all rows are compared, and not the
                :data:`CANDIDATES` that are best by their compressed copies.
                Defaults to None: below :data:`COMPRESSED_FROM` rows.
            fits (np.ndarray, optional): Which rows count, bool (N, ), and are
                all compared. Defaults to None: all.

        Returns:
            Ranking: The rows by score.
        """
        vectors = self.segments.vectors
        if fits is None and self.is_compressed(exact):
            def score(rows: np.ndarray) -> np.ndarray:
                return product(vectors, query, rows)

            rows = np.sort(self.compressed().best(query, CANDIDATES))
            return SomeRows(rows, score(rows), score, len(self))
        scores = exact_scores(vectors, query)
        if fits is not None:
            scores = np.where(fits, scores, -np.inf)
        return Ranking(scores)

    def search(self, query: np.ndarray, topk: int, min_score: float,
               exact: bool | None = None,
               fits: np.ndarray | None = None) -> list[tuple]:
        """Rank rows and join them, see :meth:`rank` and :func:`find_hits`.

        Where the candidates are joined to fewer hits than were asked for,
        all rows are compared.
        """
        ranking = self.rank(query, exact, fits)
        arguments = (self.file_of, self.segments, topk, min_score,
                     float(np.median(self._background @ query)))
        hits = find_hits(ranking, *arguments)
        if len(hits) < topk and not ranking.whole and ranking.lowest >= min_score:
            hits = find_hits(self.rank(query, True, fits), *arguments)
        return hits
