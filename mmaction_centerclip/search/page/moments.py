"""Search an index for a page: one thread owns it, and answers in turn."""
import contextlib
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit, VideoIndex
from mmaction_centerclip.search.store import FileRecord

from .media import token_pictures


class Moments:
    """An index and its model, for the requests of many threads.

    A model encodes one query at a time: one thread opens the index and does all work on
    it, and methods that return a future hand it over. Outside, files have an id that is
    made of their path.
    """

    def __init__(self, open_index: Callable[[], VideoIndex]) -> None:
        self._thread = ThreadPoolExecutor(1, 'index')
        self._state = None
        self._files: dict[str, tuple[str, FileRecord]] = {}
        self._token_pictures = lru_cache(maxsize=16)(
            lambda path, start, modified: token_pictures(self._index, path, start))
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
            self._files = {
                _file_id(path): (path, record)
                for path, record in self._index.store.files().items()
                if not record.reason}
            self._state = state
            self._folder = os.sep
            with contextlib.suppress(ValueError):  # none, or on several drives
                self._folder = os.path.commonpath(
                    [os.path.dirname(path) for path, _ in self._files.values()])

    def about(self) -> dict:
        """Return how many videos there are, and the names of index and model."""
        return dict(videos=len(self._files),
                    index=os.path.basename(self._index.store.path),
                    model=self._index.model_name.removesuffix('.py'))

    def path(self, file: str) -> str | None:
        """Return the path of a file of the index; None of any other id."""
        path, record = self._files.get(file, (None, None))
        if path and (change := record.change_of(path)):
            raise DecodingError(f'it {change}')
        return path

    def search(self, query: str | Path | Hit, topk: int, min_score: float | None,
               files: str) -> Future:
        """Search in the thread of the index, for a dict with ``hits``.

        A moment is not in its own results; ``files`` is a part of names or a pattern.
        """
        return self._thread.submit(self._search, query, topk, min_score, files)

    def _search(self, query: str | Path | Hit, topk: int, min_score: float | None,
                files: str) -> dict:
        is_hit = isinstance(query, Hit)
        try:
            found = self._index.search(query, topk + is_hit, min_score, _pattern(files))
        except InputError as error:
            _, is_about_file, reason = str(error).partition(f'{query}: ')
            if isinstance(query, Path) and is_about_file:
                # Without its name, which is not the user's.
                raise InputError(f'The file cannot be read: {reason}') from error
            raise
        self._list_files()
        hits = [hit for hit in found if not (
            is_hit and hit.file == query.file and hit.start < query.end - 1e-6
            and query.start < hit.end - 1e-6)][:topk]
        changes = self._index.changes(hits)
        return dict(hits=[dict(self._describe(hit), change=changes.get(hit.file))
                          for hit in hits])

    def _describe(self, hit: Hit) -> dict:
        name = os.path.relpath(hit.file, self._folder)
        return dict(
            file=_file_id(hit.file), start=hit.start, end=hit.end, score=hit.score,
            times=f'{clock(hit.start)} – {clock(hit.end)}',
            # A name of bytes that are no text has lone surrogates.
            name=name.encode('utf-8', 'backslashreplace').decode())

    def token_pictures(self, path: str, start: float, modified: int) -> Future:
        """Draw in the thread of the index, see :func:`token_pictures`."""
        return self._thread.submit(self._token_pictures, path, start, modified)

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


def _pattern(text: str) -> str | None:
    """Make a pattern for all of a path of what is like a part of it."""
    text = text.strip()
    if not set(text) & {'*', '?'}:
        text = text.replace('[', '[[]')
    return f'*{text}*' if text else None
