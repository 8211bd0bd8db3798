"""An index of video files: add, search, cut and export."""
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.progress import track

from mmaction_centerclip.apis import VideoTextRetrievalInferencer, list_files
from mmaction_centerclip.datasets.transforms import DecodingError
from mmaction_centerclip.errors import (
    InputError,
    check_choice,
    check_number,
    check_positive_int,
)

from .clips import cut_clip, export_hits
from .encoding import SegmentEncoder, model_hash, run_ahead
from .hits import Hit
from .negation import exclude_vectors
from .reranking import Reranker
from .rows import Rows
from .store import FileRow, IndexStore

__all__ = ['Added', 'VideoIndex']

COMPRESSED = '.rows.npz'  # how the file of compressed rows ends


@dataclass(frozen=True)
class Added:
    """The files of a folder, by what became of them.

    Attributes:
        indexed (list[str]): Encoded now.
        unchanged (list[str]): In the index before, and not read again.
        removed (list[str]): In the index before, and no longer in the folder.
        unreadable (dict[str, str]): Files without segments, and why.
    """
    indexed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


class VideoIndex:
    """A file with a row for each segment of many videos.

    Every video is committed as a whole: an index whose process is killed
    holds all files that were done, and goes on with the others.

    Args:
        path (str | os.PathLike): The index; made where there is none.
        inferencer (VideoTextRetrievalInferencer): The model. Where its head
            compares pairs, a row is a window, and the head ranks the first
            100 of a text anew, see :class:`Reranker`.
        window (float, optional): The longest window of a new index, in
            seconds. Defaults to None: that of the index, 10 of a new one.
        split (str, optional): Where windows begin: after equal times
            (``'length'``), or at shot cuts too (``'cuts'``). Defaults to None:
            that of the index, ``'length'`` of a new one.

    Raises:
        InputError: If an option is out of range or not that of the index, or
            the file is damaged or no index.
    """

    def __init__(self, path: str | os.PathLike,
                 inferencer: VideoTextRetrievalInferencer,
                 window: float | None = None, split: str | None = None) -> None:
        if window is not None:
            check_number('window', window, lambda x: x > 0, 'above 0 seconds')
        if split is not None:
            check_choice('split', split, ('length', 'cuts'))
        given = dict(window=None if window is None else str(float(window)), split=split)
        self.inferencer = inferencer
        self.store = IndexStore(path, {
            'window': given['window'] or '10.0', 'split': split or 'length'})
        settings = self.store.settings
        for name, value in given.items():
            if value is not None and value != settings[name]:
                raise InputError(f'{path}: {name} must be {settings[name]}, that of '
                                 f'the index, got {value}; make another index')
        self._encoder = SegmentEncoder(inferencer, float(settings['window']),
                                       settings['split'] == 'cuts', 1)
        self.model = model_hash(inferencer)
        self.model_name = os.path.basename(
            inferencer.model.cfg.filename or '') or 'a config without a file'
        self._rows = self._reranker = self._state = None

    def add(self, folder: str | os.PathLike, batch_size: int = 8,
            num_workers: int = 2, reindex: bool = False) -> Added:
        """Bring the index up to date with a folder, and all folders in it.

        A file is read where its size, its time of modification or the model
        is another. Files that are gone from the folder are taken out.

        Args:
            folder (str | os.PathLike): Videos, and what else there is: files
                that are none are reported.
            batch_size (int): Windows to encode at a time. Defaults to 8.
            num_workers (int): Files to decode at a time. Defaults to 2.
            reindex (bool): Whether files of another model are encoded anew.
                Defaults to False: they are refused.

        Raises:
            InputError: If there is no such folder or no file in it, the index
                is of another model, or another process adds to it.
        """
        self._encoder.batch_size = check_positive_int('batch_size', batch_size)
        check_positive_int('num_workers', num_workers)
        folder = os.path.abspath(folder)
        with self.store.locked():
            self._rows, known = None, self.store.files()
            if not reindex:
                self._check_model(known)
            return self._add(folder, known, num_workers)

    def _add(self, folder: str, known: dict[str, FileRow], num_workers: int) -> Added:
        paths, result = list_files(folder), Added()
        if not paths:
            raise InputError(f'{folder} has no files')
        index = os.path.realpath(self.store.path)
        own = {index, *(f'{index}{end}' for end in (
            '.lock', '-journal', COMPRESSED, f'{COMPRESSED}.partial'))}
        rows, todo = {}, []
        for path in paths:
            if os.path.realpath(path) in own:
                continue
            try:
                path.encode()
                stat = os.stat(path)
            except UnicodeEncodeError:
                result.unreadable[os.fsencode(path).decode(errors='replace')] = (
                    'its name is no UTF-8')
                continue
            except OSError as error:
                result.unreadable[path] = error.strerror
                continue
            rows[path] = FileRow(stat.st_size, stat.st_mtime_ns, self.model,
                                 self.model_name)
            old = known.get(path)
            if old and (old.size, old.modified, old.model) == (
                    stat.st_size, stat.st_mtime_ns, self.model):
                result.unchanged.append(path)
                if old.reason is not None:
                    result.unreadable[path] = old.reason
            else:
                todo.append(path)
        gone = [path for path in known if path not in rows
                and path.startswith(os.path.join(folder, ''))]
        self.store.remove(gone)
        result.removed.extend(gone)
        self._encode(todo, rows, num_workers, result)
        return result

    def _encode(self, paths: list[str], rows: dict[str, FileRow], num_workers: int,
                result: Added) -> None:
        """Encode files, and commit each when it is done."""
        jobs = ((lambda path=path: self._encoder.decode(path)) for path in paths)
        files = zip(paths, run_ahead(jobs, num_workers))
        if self.inferencer.show_progress:
            files = track(files, description='Indexing', total=len(paths))
        for path, windows in files:
            row, segments = rows[path], None
            try:
                segments = self._encoder.encode(windows)
            except DecodingError as error:
                row = FileRow(row.size, row.modified, row.model, row.model_name,
                              error.reason)
                result.unreadable[path] = error.reason
            self.store.put(path, row, segments)
            if segments is not None:
                result.indexed.append(path)

    def _check_model(self, known: dict[str, FileRow]) -> None:
        others = {(row.model, row.model_name) for row in known.values()
                  if row.model != self.model}
        if others:
            model, name = min(others)
            raise InputError(
                f'{self.store.path} is of another model: {name} with weights and '
                f'settings {model}, got {self.model_name} with {self.model}; index '
                'its folders anew with reindex (--reindex)')

    def search(self, query: str | os.PathLike | np.ndarray | Hit, topk: int = 10,
               min_score: float | None = None,
               files: str | Sequence[str] | None = None,
               exclude: str | os.PathLike | Sequence | None = None,
               exact: bool | None = None) -> list[Hit]:
        """Find the moments that a text, a clip or a picture is about.

        Args:
            query (str | os.PathLike | np.ndarray | Hit): A text; as a
                ``pathlib.Path`` or an array, a clip or a picture, see
                :meth:`VideoPipeline.open`; or a moment of this index.
            topk (int): Moments at most. Defaults to 10.
            min_score (float, optional): Their lowest score. Defaults to None:
                any.
            files (str | Sequence[str], optional): Patterns such as
                ``'*.mp4'``, one of which a path must match. Defaults to None.
            exclude (str | os.PathLike | Sequence, optional): What is not
                looked for, as ``query`` or a list of such, see
                :func:`exclude_vectors`. Defaults to None.
            exact (bool, optional): Whether all rows are compared. Defaults to
                None: all below 200,000 rows, of files that are asked for, or
                without faiss; the best ones of a compressed copy otherwise.

        Returns:
            list[Hit]: The moments, the best first.

        Raises:
            InputError: If the index has no segment, or none of such a file,
                or is damaged or of another model; if nothing is left of the
                query, or something is excluded and the head compares pairs;
                or if ``exact`` is False without faiss.
        """
        check_positive_int('topk', topk)
        lowest = np.finfo(np.float32).min if min_score is None else check_number(
            'min_score', min_score, lambda x: True, 'a number')
        rows, fits = self._load(), None
        if files is not None:
            patterns = [files] if isinstance(files, str) else list(files)
            fits = rows.of_files(patterns)
            if not fits.any():
                raise InputError(f'{self.store.path} has no file like {patterns}')
        vector = self._query(query, exclude)
        if self.inferencer.model.head.separable or not isinstance(query, str):
            found = rows.search(vector, topk, lowest, exact, fits)
        else:
            found = self._reranker.search(
                query, vector, topk, lowest, exact, fits)
        return [Hit(rows.paths[rows.file_of[first]], float(rows.segments.start[first]),
                    float(rows.segments.end[last]), score)
                for first, last, score in found]

    def _query(self, query: str | os.PathLike | np.ndarray | Hit,
               exclude: str | os.PathLike | Sequence | None) -> np.ndarray:
        def encode(what: str | os.PathLike | np.ndarray | Hit) -> np.ndarray:
            if isinstance(what, Hit):
                return self.vector(what)
            return self._encoder.encode_query(what)

        head = self.inferencer.model.head
        if exclude is None:
            return encode(query)
        if not head.separable:
            raise InputError(f'exclude needs a head of vectors, {type(head).__name__} '
                             'compares pairs')
        excluded = list(exclude) if isinstance(exclude, (list, tuple)) else [exclude]
        if not excluded:
            raise InputError('exclude must name something, got an empty list')
        return exclude_vectors(encode(query), np.stack([encode(x) for x in excluded]))

    def _load(self) -> Rows:
        """Return all rows, read again where another process has written."""
        state = self.store.state()
        if self._rows is None or state != self._state:
            self._check_model(self.store.files())
            self._rows, self._state = Rows(
                *self.store.load(), f'{self.store.path}{COMPRESSED}'), state
            self._reranker = Reranker(self.inferencer, self.store, self._rows)
        if not len(self._rows):
            raise InputError(f'{self.store.path} has no segments; add a folder')
        return self._rows

    def vector(self, hit: Hit) -> np.ndarray:
        """Return the mean of a moment's rows, see :meth:`Rows.mean_of`."""
        return self._load().mean_of(hit)

    def cut(self, hit: Hit, path: str | os.PathLike) -> None:
        """Write a moment as a clip, see :func:`cut_clip`."""
        cut_clip(hit, path)

    def export(self, hits: Sequence[Hit], path: str | os.PathLike) -> None:
        """Write moments to a table or to chapters, see :func:`export_hits`."""
        export_hits(hits, path)

    def close(self) -> None:
        """Close the file."""
        self.store.close()
