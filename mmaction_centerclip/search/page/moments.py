"""Search an index for a page: one thread owns it, and answers in turn."""
import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatch
from functools import lru_cache
from glob import escape
from pathlib import Path

import numpy as np

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit, VideoIndex
from mmaction_centerclip.search.records import FileRecord

from .media import look_alike, shows_tokens, token_pictures


class Moments:
    """An index and its model, for the requests of many threads.

    A model encodes one query at a time: one thread opens the index and does all work on
    it, and methods that return a future hand it over. Outside, files have an id that is
    made of their path.
    """

    def __init__(self, open_index: Callable[[], VideoIndex]) -> None:
        self._thread = ThreadPoolExecutor(1, 'index')
        self._state = None
        self._files: dict[str, tuple[str, FileRecord, float]] = {}
        self._token_pictures = lru_cache(maxsize=16)(
            lambda hit, modified: token_pictures(self._index, hit))
        try:
            self._thread.submit(self._open, open_index).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def _open(self, open_index: Callable[[], VideoIndex]) -> None:
        self._index = open_index()
        # So that an index without segments or of another model is refused now.
        self._index.search('a video', topk=1)
        self._list_files()

    def _list_files(self) -> None:
        """List the files again where another process has written."""
        state = self._index.store.state()
        if state != self._state:
            records = self._index.store.files()
            self._files = {
                _file_id(path): (path, records[path], seconds)
                for path, seconds in self._index.lengths().items() if path in records}
            self._state = state
            self._folder = os.sep
            with contextlib.suppress(ValueError):  # none, or on several drives
                self._folder = os.path.commonpath(
                    [os.path.dirname(path) for path, *_ in self._files.values()])

    def about(self) -> dict:
        """Return how many videos there are, the index's name, and about the model."""
        model = self._index.inferencer.model
        return dict(videos=len(self._files),
                    index=os.path.basename(self._index.store.path),
                    model=self._index.model_name.removesuffix('.py'),
                    has_necks=shows_tokens(model),
                    can_exclude=model.head.separable)

    def videos(self, first: int, count: int, files: str) -> dict:
        """Describe some videos of the index, as moments that last as long as they do.

        Beside ``videos`` the ``total`` of those like ``files`` is returned.
        """
        known, pattern = list(self._files.values()), self._pattern(files)
        if pattern:
            known = [file for file in known if fnmatch(file[0], pattern)]
        videos = [dict(self.describe(Hit(path, 0., seconds, 0.)), times=clock(seconds),
                       change=record.change_of(path))
                  for path, record, seconds in known[first:first + count]]
        return dict(videos=videos, total=len(known))

    def path(self, file: str, checked: bool = True) -> str | None:
        """Return the path of a file of the index; None of any other id.

        If ``checked``, one that was changed or is gone is an error.
        """
        path, record, _ = self._files.get(file, (None, None, None))
        if path and checked and (change := record.change_of(path)):
            raise DecodingError(f'it {change}')
        return path

    def search(self, query: str | Path | Hit, topk: int, min_score: float | None,
               files: str, exclude: Sequence[str] = ()) -> Future:
        """Search in the thread of the index, for moments that :meth:`describe` tells.

        A moment is not in its own results; ``files`` is a part of names or a pattern.
        Each has what became of its file since (``change``), and the place of one that
        it nearly copies (``copy_of``).
        """
        return self._thread.submit(self._search, query, topk, min_score, files, exclude)

    def _search(self, query: str | Path | Hit, topk: int, min_score: float | None,
                files: str, exclude: Sequence[str]) -> list[dict]:
        self._list_files()
        is_hit = isinstance(query, Hit)
        pattern, most, found, hits = self._pattern(files), topk, [None] * topk, []
        try:
            while len(hits) < topk and len(found) == most:
                most += is_hit * most  # Many may be of the moment itself.
                found = self._index.search(query, most, min_score, pattern,
                                           exclude or None)
                hits = [hit for hit in found if not (
                    is_hit and hit.file == query.file and hit.start < query.end - 1e-6
                    and query.start < hit.end - 1e-6)][:topk]
        except InputError as error:
            _, is_about_file, reason = str(error).partition(f'{query}: ')
            if isinstance(query, Path) and is_about_file:
                # Without its name, which is not the user's.
                raise InputError(f'The file cannot be read: {reason}') from error
            raise
        changes = self._index.changes(hits)
        return [dict(self.describe(hit), change=changes.get(hit.file), copy_of=copied)
                for hit, copied in zip(hits, self._copied(hits))]

    def _copied(self, hits: Sequence[Hit]) -> list[int | None]:
        """Return of each moment the place of the first that it nearly copies.

        Both vectors and pictures are compared: to a model a ring may be as a star.
        """
        near, found = self._index.are_near(hits), []
        for place, hit in enumerate(hits):
            found.append(next((
                first for first in np.flatnonzero(near[place, :place]).tolist()
                if found[first] is None and look_alike(hits[first], hit)), None))
        return found

    def _pattern(self, text: str) -> str | None:
        """Make a pattern for paths of what is like a part of the names shown."""
        if not (text := text.strip()):
            return None
        if not set(text) & {'*', '?'}:
            text = text.replace('[', '[[]')
        pattern = f'{escape(os.path.join(self._folder, ""))}*{text}*'
        if not any(fnmatch(path, pattern) for path, *_ in self._files.values()):
            raise InputError(f'No video has a name like “{text}”.')
        return pattern

    def describe(self, hit: Hit) -> dict:
        """Return what the page is told of a moment."""
        return dict(
            file=_file_id(hit.file), start=hit.start, end=hit.end, score=hit.score,
            times=f'{clock(hit.start)} – {clock(hit.end)}', name=self.name(hit))

    def name(self, hit: Hit) -> str:
        """Return the name of a moment's file, below the folder that all are in."""
        name = os.path.relpath(hit.file, self._folder)
        if os.path.dirname(self._folder) == self._folder:  # no folder that all are in
            name = os.path.join(*hit.file.split(os.sep)[-2:])
        # A name of bytes that are no text has lone surrogates.
        return name.encode('utf-8', 'backslashreplace').decode()

    def without_folders(self, text: str) -> str:
        """Return a message in which index and videos are named as on the page."""
        path = self._index.store.path
        text = text.replace(path, os.path.basename(path))
        if os.path.dirname(self._folder) != self._folder:
            text = text.replace(os.path.join(self._folder, ''), '')
        return text

    def token_pictures(self, hit: Hit, modified: int) -> Future:
        """Draw in the thread of the index, see :func:`token_pictures`."""
        return self._thread.submit(self._token_pictures, hit, modified)

    def close(self) -> None:
        """Close the index, behind what is asked of it already."""
        self._thread.submit(self._index.close).result()
        self._thread.shutdown()


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds.

    Examples:
        >>> clock(59.96), clock(3725.25)
        ('01:00.0', '62:05.2')
    """
    minutes, tenths = divmod(round(10 * seconds), 600)
    return f'{minutes:02}:{tenths // 10:02}.{tenths % 10}'


def _file_id(path: str) -> str:
    """Name a file for the outside, alike whenever the page is served."""
    return hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:20]
