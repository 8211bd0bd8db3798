"""The segments of an index, and their comparison with a query."""
import fnmatch
import os
import re
from collections.abc import Sequence
from functools import cached_property, partial
from itertools import islice

import numpy as np
import torch

from mmaction_centerclip.apis import Encoded, VideoTextRetrievalInferencer
from mmaction_centerclip.errors import InputError

from .compressed import CompressedVectors
from .ranking import (
    Hit,
    PartialRanking,
    Ranking,
    draw_background,
    exact_scores,
    find_hits,
)
from .records import Segments
from .store import IndexStore
from .stored_vectors import multiply

# From where comparing all segments takes longer than 20 ms on two cores.
COMPRESSED_FROM = 200_000
CANDIDATES = 256  # the best compressed vectors, which are compared themselves
MORE = 8  # times as many, where they make too few moments
NEAR = 0.05  # of the squared distance of random segments
RERANKED = 100  # the best by their vectors, which a head compares
RERANKED_BACKGROUND = 256  # segments whose scores by the head have the median of all


class SegmentTable:
    """All segments of an index, by file and start.

    ``paths`` are of files, ascending, and ``file_of`` are their numbers of segments,
    int32 (N, ). With ``compressed`` vectors those themselves are on the disk, see
    :class:`StoredVectors`.
    """

    def __init__(self, paths: list[str], file_of: np.ndarray, segments: Segments,
                 compressed: CompressedVectors | None = None) -> None:
        self.paths, self.file_of, self.segments = paths, file_of, segments
        self.compressed = compressed
        self._background = segments.vectors[draw_background(len(file_of))].astype(
            np.float32)

    def __len__(self) -> int:
        return len(self.file_of)

    def of_files(self, patterns: Sequence[str]) -> np.ndarray:
        """Return which files are like one of the patterns, bool (files, )."""
        like = re.compile('|'.join(
            fnmatch.translate(os.path.normcase(pattern)) for pattern in patterns))
        return np.array([like.match(os.path.normcase(path)) is not None
                         for path in self.paths], bool)

    def mean_of(self, hit: Hit) -> np.ndarray:
        """Return the mean of a moment's own vectors, of length 1, float32 (E, )."""
        file = self.paths.index(hit.file) if hit.file in self.paths else len(self.paths)
        first, stop = np.searchsorted(self.file_of, (file, file + 1))
        own = first + np.flatnonzero(
            (self.segments.start[first:stop] < hit.end - 1e-6)
            & (self.segments.end[first:stop] > hit.start + 1e-6))
        if not len(own):
            raise InputError(f'the index has no segment of {hit.file} from {hit.start} '
                             f'to {hit.end} seconds')
        mean = self.segments.vectors[own].astype(np.float32).mean(0)
        return mean / np.linalg.norm(mean)

    def are_near(self, hits: Sequence[Hit]) -> np.ndarray:
        """Return which moments have nearly the same vectors, bool (hits, hits).

        They differ by less than :data:`NEAR` of what random segments do, as squares: a
        model's vectors may all be alike.
        """
        if not hits:
            return np.zeros((0, 0), bool)
        vectors = np.stack([self.mean_of(hit) for hit in hits])
        usual = 2 * self._background.var(0).sum()  # of two of them, on average
        distances = np.square(vectors[:, None] - vectors).sum(2)
        return distances <= NEAR * usual

    def lengths(self) -> dict[str, float]:
        """Return how long each file is, in seconds."""
        last = np.flatnonzero(np.diff(self.file_of, append=-1))
        return {self.paths[self.file_of[row]]: float(self.segments.end[row])
                for row in last}

    def rank(self, query: np.ndarray, exact: bool | None = None,
             files: np.ndarray | None = None, candidates: int = CANDIDATES) -> Ranking:
        """Compare segments with a query, float32 (E, ).

        If ``exact``, all are compared, and not the ``candidates`` that are best by
        their compressed copies; None means below :data:`COMPRESSED_FROM` segments.
        ``files`` are those whose segments to compare, bool (files, ).
        """
        vectors = self.segments.vectors
        fits = None if files is None else files[self.file_of]
        if self.compressed is None:
            scores = exact_scores(vectors, query)
            return Ranking(scores if fits is None else np.where(fits, scores, -np.inf))
        count = len(self) if fits is None else np.count_nonzero(fits)
        if not exact and count > candidates and (
                fits is None or exact is False or count >= COMPRESSED_FROM):
            best = self.compressed.best(query, candidates, fits)
            return PartialRanking(np.sort(best), partial(vectors.scores, query),
                                  len(self))
        rows = np.arange(len(self)) if fits is None else np.flatnonzero(fits)
        scores = np.full(len(self), -np.inf, np.float32)
        scores[rows] = vectors.scores(query, rows)
        return Ranking(scores)

    def _median(self, query: np.ndarray) -> float:
        """Return about the median of all segments' scores."""
        scores = (self._background @ query if self.compressed is None
                  else multiply(self._background, query))
        return float(np.median(scores))

    def search(self, query: np.ndarray, topk: int, min_score: float,
               exact: bool | None = None,
               files: np.ndarray | None = None) -> list[tuple]:
        """Rank segments and join them, see :meth:`rank` and :func:`find_hits`.

        More are compared, and at last all, where candidates make fewer moments than
        were asked for.
        """
        median, candidates = self._median(query), CANDIDATES
        while True:
            ranking = self.rank(query, exact, files, candidates)
            hits = find_hits(
                ranking, self.file_of, self.segments, topk, min_score, median)
            if len(hits) >= topk or ranking.lowest < min_score:
                return hits
            candidates *= MORE


class Reranker:
    """Rank the best segments anew by a head that compares pairs.

    Such a segment is a window. Their vectors say which :data:`RERANKED` are read from
    the disk and compared. The median is of :data:`RERANKED_BACKGROUND` random ones.
    """

    def __init__(self, inferencer: VideoTextRetrievalInferencer, store: IndexStore,
                 table: SegmentTable) -> None:
        self.inferencer, self.store, self.table = inferencer, store, table

    @cached_property
    def _background(self) -> list[np.ndarray]:
        return self._features(draw_background(len(self.table), RERANKED_BACKGROUND))

    def search(self, text: str, vector: np.ndarray, topk: int, min_score: float,
               exact: bool | None = None,
               files: np.ndarray | None = None) -> list[tuple]:
        """Find moments of a text among the re-ranked windows, by the head's scores."""
        table, texts = self.table, self.inferencer.encode_texts(text)
        ranking = table.rank(vector, exact, files)
        best = [row for row in islice(ranking, RERANKED) if np.isfinite(ranking[row])]
        scores = np.full(len(table), -np.inf, np.float32)
        scores[best], background = (
            head_scores(self.inferencer, texts, features)
            for features in (self._features(best), self._background))
        return find_hits(Ranking(scores), table.file_of, table.segments, topk,
                         min_score, float(np.median(background)))

    def _features(self, which: list[int] | np.ndarray) -> list[np.ndarray]:
        table = self.table
        return [self.store.features(table.paths[table.file_of[row]],
                                    float(table.segments.start[row]))
                for row in which]


@torch.no_grad()
def head_scores(inferencer: VideoTextRetrievalInferencer, texts: Encoded,
                features: list[np.ndarray]) -> np.ndarray:
    """Compare the first text with windows, each of features (S, E): (windows, )."""
    head = inferencer.model.head
    lengths = torch.tensor([len(x) for x in features])
    segments = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(x.astype(np.float32)) for x in features], batch_first=True)
    mask = torch.arange(segments.shape[1]) < lengths[:, None]
    device = head.logit_scale.device
    videos = Encoded([str(i) for i in range(len(features))],
                     head.video_features(segments.to(device), mask.to(device)))
    return inferencer.score(texts, videos)[0].numpy()
