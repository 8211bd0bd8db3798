"""Compare a text with the first rows by a head that reads pairs."""
from itertools import islice

import numpy as np
import torch

from mmaction_centerclip.apis import Encoded, VideoTextRetrievalInferencer

from .hits import draw_background, find_hits
from .ranking import SomeRows
from .rows import Rows
from .store import IndexStore

__all__ = ['Reranker', 'head_scores']

RERANKED = 100  # the best rows by their vectors
BACKGROUND = 256  # rows whose scores by the head have the median of all


class Reranker:
    """Rank the best rows anew by a head that compares pairs.

    The rows' vectors, means of segments, say which :data:`RERANKED` windows
    are read from the disk and compared by the head. The median of the head's
    scores is that of :data:`BACKGROUND` rows, drawn at random, always the same.

    Args:
        inferencer (VideoTextRetrievalInferencer): Whose head compares pairs.
        store (IndexStore): Where the features of windows are.
        rows (Rows): Of the index.
    """

    def __init__(self, inferencer: VideoTextRetrievalInferencer, store: IndexStore,
                 rows: Rows) -> None:
        self.inferencer, self.store, self.rows = inferencer, store, rows
        self._background = None

    def search(self, text: str, vector: np.ndarray, topk: int, min_score: float,
               exact: bool | None = None,
               fits: np.ndarray | None = None) -> list[tuple]:
        """Find moments as :meth:`Rows.search` does, of the head's scores.

        Args:
            text (str): What to look for.
            vector (np.ndarray): Its sentence feature, of unit length, (E, ).
            topk (int): Hits at most, of the re-ranked rows.
            min_score (float): Of a hit at least, by the head.
            exact (bool, optional): As for :meth:`Rows.rank`.
            fits (np.ndarray, optional): Likewise.
        """
        rows, texts = self.rows, self.inferencer.encode_texts(text)
        ranking = rows.rank(vector, exact, fits)
        best = [row for row in islice(ranking, RERANKED) if np.isfinite(ranking[row])]
        if self._background is None:
            self._background = self._features(draw_background(len(rows), BACKGROUND))
        median = float(np.median(head_scores(
            self.inferencer, texts, self._background)))
        found = SomeRows(np.array(best), head_scores(
            self.inferencer, texts, self._features(best)))
        return find_hits(found, rows.file_of, rows.segments, topk, min_score, median)

    def _features(self, which: list[int] | np.ndarray) -> list[np.ndarray]:
        rows = self.rows
        return [self.store.features(rows.paths[rows.file_of[row]],
                                    float(rows.segments.start[row])) for row in which]


@torch.no_grad()
def head_scores(inferencer: VideoTextRetrievalInferencer, texts: Encoded,
                features: list[np.ndarray]) -> np.ndarray:
    """Compare the first text with windows by the model's head.

    Args:
        inferencer (VideoTextRetrievalInferencer): The model.
        texts (Encoded): From its ``encode_texts``.
        features (list[np.ndarray]): Of each window's segments, (S, E).

    Returns:
        np.ndarray: float32 (windows, ).
    """
    head = inferencer.model.head
    lengths = torch.tensor([len(x) for x in features])
    segments = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(x.astype(np.float32)) for x in features], batch_first=True)
    mask = torch.arange(segments.shape[1]) < lengths[:, None]
    device = head.logit_scale.device
    videos = Encoded([str(i) for i in range(len(features))],
                     head.video_features(segments.to(device), mask.to(device)))
    return inferencer.score(texts, videos)[0].numpy()
