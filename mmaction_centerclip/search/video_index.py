"""An index of video files: add, search, cut and export."""
import os
from collections.abc import Callable, Sequence

import numpy as np

from mmaction_centerclip.apis import VideoTextRetrievalInferencer, model_hash
from mmaction_centerclip.errors import (
    InputError,
    check_choice,
    check_number,
    check_positive_int,
)

from .encoding import SegmentEncoder
from .exports import cut_clip, export_hits
from .folder_update import Added, FileEncoder, FolderUpdate
from .opening import open_table
from .parts import merge_parts
from .ranking import Hit, exclude_vectors, lowest_score
from .records import FileRecord
from .remembered import describe_model
from .segment_table import Reranker, SegmentTable
from .store import IndexStore

SPLITS = ('length', 'cuts')
SHORTEST_WINDOW = 0.01  # seconds: less than a frame of any film lasts
Query = str | os.PathLike | np.ndarray | Hit


class VideoIndex:
    """A file with a vector for each segment of many videos.

    Every video is committed as a whole: an index whose process is killed holds all
    files that were done, and goes on with the others.

    It is made where there is none. Its longest ``window`` is in seconds, by default 10;
    windows begin after equal times, or with the ``split`` ``'cuts'`` at shot cuts too.
    None: as the index has it. A head that compares pairs ranks the first 100 windows of
    a text anew, see :class:`Reranker`.
    """

    def __init__(self, path: str | os.PathLike,
                 inferencer: VideoTextRetrievalInferencer,
                 window: float | None = None, split: str | None = None) -> None:
        given = dict(
            window=None if window is None else str(check_window(window)), split=split)
        if split is not None:
            check_choice('split', split, SPLITS)
        self.inferencer = inferencer
        self.store = IndexStore(path, dict(
            window=given['window'] or '10.0', split=split or SPLITS[0]))
        settings = self.store.settings
        for name, value in given.items():
            if value is not None and value != settings.get(name):
                raise InputError(f'{path}: {name} must be {settings.get(name)}, that '
                                 f'of the index, got {value}; make another index')
        try:
            self.encoder = SegmentEncoder(
                inferencer, check_window(float(settings['window'])),
                check_choice('split', settings['split'], SPLITS) == 'cuts')
        except (KeyError, TypeError, ValueError) as error:
            raise self.store.damaged(f'its settings are {settings}') from error
        self.model = model_hash(inferencer.model, inferencer.pipeline)
        self.model_name = os.path.basename(
            inferencer.model.cfg.filename or '') or 'a config without a file'
        self._table = self._reranker = self._state = None

    def add(self, folder: str | os.PathLike, batch_size: int = 8,
            num_workers: int = 2, reindex: bool = False, pictures: bool = False,
            drop_missing: bool = False, encode: Callable | None = None) -> Added:
        """Bring the index up to date with a folder, and all folders in it.

        A file is read where its size, its time of modification or the model is another,
        and encoded unless its content is that of a file which is gone. Gone files are
        taken out; those in folders that cannot be read are kept.

        Args:
            reindex (bool): Whether files of another model are encoded anew, not
                refused.
            pictures (bool): Whether files of one frame are taken in, too.
            drop_missing (bool): Whether gone files of other folders are taken out, too,
                and this folder may be gone.
            encode (Callable, optional): What encodes the files, see
                :meth:`FolderUpdate.run`. None: this process alone.
        """
        self.encoder.batch_size = check_positive_int('batch_size', batch_size)
        check_positive_int('num_workers', num_workers)
        with self.store.locked():
            self._table, known = None, self.store.files()
            if not reindex:
                self._check_model(self.store.models())
            record = FileRecord(0, 0, self.model, self.model_name)
            if merge_parts(self.store, record, any_model=reindex):
                known = self.store.files()
            added = FolderUpdate(
                self.store, record, known, folder, pictures, drop_missing).run(
                    encode or FileEncoder(self.encoder, pictures, num_workers))
            self.store.remember('model', describe_model(self.inferencer))
            return added

    def _check_model(self, models: set[tuple[str, str]]) -> None:
        others = {(model, name) for model, name in models if model != self.model}
        if others:
            model, name = min(others)
            raise InputError(
                f'{self.store.path} is of another model: {name} with weights and '
                f'settings {model}, got {self.model_name} with {self.model}; index '
                'its folders anew with reindex (--reindex)')

    def search(self, query: Query, topk: int = 10, min_score: float | None = None,
               files: str | Sequence[str] | None = None,
               exclude: Query | Sequence[Query] | None = None,
               exact: bool | None = None) -> list[Hit]:
        """Find the moments that a text, a clip or a picture is about, the best first.

        Args:
            query (Query): A text; as a ``pathlib.Path`` or an array, a clip or a
                picture, see :meth:`VideoPipeline.open`; or a moment of this index.
            min_score (float, optional): Their lowest score.
            files (str | Sequence[str], optional): Patterns such as ``'*.mp4'``.
            exclude (Query | Sequence[Query], optional): See :func:`exclude_vectors`.
            exact (bool, optional): Whether all segments are compared, and not the best
                by a compressed copy. None: below 200,000, or without faiss.
        """
        check_positive_int('topk', topk)
        lowest = lowest_score(min_score)
        patterns = [files] if isinstance(files, str) else files
        while True:
            self._load(exact)
            vector = self._query(query, exclude)
            with self.store.one_moment():
                # Else another process has written since, and rows may be others.
                if self.store.state() == self._state:
                    return self._find(query, vector, topk, lowest, patterns, exact)

    def _find(self, query: Query, vector: np.ndarray, topk: int, lowest: float,
              patterns: Sequence[str] | None, exact: bool | None) -> list[Hit]:
        table, fits = self._table, None
        if patterns is not None:
            fits = table.of_files(patterns)
            if not fits.any():
                raise InputError(f'{self.store.path} has no file like {patterns}')
        if self.inferencer.model.head.separable or not isinstance(query, str):
            found = table.search(vector, topk, lowest, exact, fits)
        else:
            found = self._reranker.search(query, vector, topk, lowest, exact, fits)
        start, end = table.segments.start, table.segments.end
        paths = [table.paths[table.file_of[first]] for first, *_ in found]
        return [Hit(path, float(start[first]), float(end[last]), score)
                for path, (first, last, score) in zip(paths, found)]

    def _query(self, query: Query, exclude: Query | Sequence[Query] | None
               ) -> np.ndarray:
        if exclude is None:
            return self.vector(query)
        head = self.inferencer.model.head
        if not head.separable:
            raise InputError(f'exclude needs a head of vectors, {type(head).__name__} '
                             'compares pairs')
        excluded = exclude if isinstance(exclude, (list, tuple)) else [exclude]
        if not excluded:
            raise InputError('exclude must name something, got an empty list')
        return exclude_vectors(
            self.vector(query), np.stack([self.vector(x) for x in excluded]))

    def vector(self, query: Query) -> np.ndarray:
        """Return what segments are compared with, float32 (E, ), of unit length."""
        table = self._load()
        if isinstance(query, Hit):
            vector = table.mean_of(query)
            self._check_file(query)
            return vector
        vector = self.encoder.encode_query(query)
        width = table.segments.vectors.shape[1]
        if len(vector) != width:
            raise self.store.damaged(f'its vectors have {width} values and those of '
                                     f'the model {len(vector)}')
        return vector

    def _load(self, exact: bool | None = None) -> SegmentTable:
        """Return all segments, read again where another process has written.

        See :func:`open_table` for ``exact``; who asks again need not give it.
        """
        state = self.store.state()
        if self._table is None or state != self._state or (
                exact is False and self._table.compressed is None):
            self._check_model(self.store.models())
            try:
                self._table, self._state = open_table(self.store, exact), state
            except InputError:
                if self.store.state() == state:
                    raise
                return self._load(exact)  # Another process has written meanwhile.
            self._reranker = Reranker(self.inferencer, self.store, self._table)
        if not len(self._table):
            raise InputError(f'{self.store.path} has no segments; add a folder')
        return self._table

    def changes(self, hits: Sequence[Hit]) -> dict[str, str]:
        """Return the files that are gone or others since, and which of both."""
        paths = {hit.file for hit in hits}
        files = self.store.files(paths if len(paths) <= 500 else None)
        return {path: change for path in dict.fromkeys(hit.file for hit in hits)
                if path in files and (change := files[path].change_of(path))}

    def _check_file(self, hit: Hit) -> None:
        for path, change in self.changes([hit]).items():
            raise InputError(f'{path} {change}')

    def cut(self, hit: Hit, path: str | os.PathLike) -> None:
        """Write a moment as a clip, see :func:`cut_clip`."""
        self._check_file(hit)
        cut_clip(hit, path)

    def are_near(self, hits: Sequence[Hit]) -> np.ndarray:
        """Compare moments with each other, see :meth:`SegmentTable.are_near`."""
        return self._load().are_near(hits)

    def lengths(self) -> dict[str, float]:
        """Return how long each file is, in seconds."""
        return self._load().lengths()

    def export(self, hits: Sequence[Hit], path: str | os.PathLike,
               title: str = '') -> None:
        """Write moments for other programs, see :func:`export_hits`."""
        export_hits(hits, path, title)

    def close(self) -> None:
        """Close the file."""
        self.store.close()


def check_window(seconds: float) -> float:
    """Return the length of a window as a float, if it can be one."""
    return float(check_number('window', seconds, lambda x: x >= SHORTEST_WINDOW,
                              f'at least {SHORTEST_WINDOW} seconds'))
