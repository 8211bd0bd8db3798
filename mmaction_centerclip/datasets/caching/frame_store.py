"""Keep encoded frames of videos in one file that processes share."""
import contextlib
import logging
import os
import os.path as osp
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import expand_home, hash_file
from mmaction_centerclip.utils.sqlite_file import SQLiteFile
from mmaction_centerclip.utils.tables import format_bytes

APPLICATION = 0x43434643  # which SQLite's header says this file is of
PAGE_BYTES = 2**14
LOG_BYTES = 2**23  # what the log beside the file is written back at
SCHEMA = (
    'CREATE TABLE files (path TEXT PRIMARY KEY, state TEXT, content BLOB)',
    # An id is never used again: who has looked one up may read by it later.
    'CREATE TABLE videos (id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB, '
    'recipe TEXT, total INTEGER, rate REAL, UNIQUE (content, recipe))',
    # A frame's id is that of its video * 2 ** 32 + its number.
    'CREATE TABLE frames (id INTEGER PRIMARY KEY, crc INTEGER, data BLOB)')


class StoredVideo(NamedTuple):
    """A video as the store knows it, without opening the file."""
    id: int
    content: bytes
    total: int
    rate: float


class FrameStore:
    """Bytes of frames, by the content of a video and the frame's number.

    See :class:`SQLiteFile` for kills, processes and workers. A frame whose checksum is
    not its own counts as absent; where the file itself is found damaged, the rest of
    the run reads without it, after one warning. What does not fit in ``max_bytes`` is
    not stored; a log of up to 8 MiB is beside the file while it is written. Unless
    ``writable``, the file must exist, and may be where nothing can be written.
    """

    def __init__(self, path: str, max_bytes: int | None = None,
                 writable: bool = True, kind: str = 'a frame cache') -> None:
        self.path = path = expand_home(path)
        self.max_bytes, self.writable = max_bytes, writable
        self.failure: InputError | None = None
        """Why it is not used any more."""
        self._is_full = False
        pragmas = [f'page_size = {PAGE_BYTES}', 'journal_mode = WAL',
                   'synchronous = NORMAL',
                   f'wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}',
                   f'journal_size_limit = {LOG_BYTES}']
        if writable:
            with contextlib.suppress(OSError):  # which opening the file says
                os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        if max_bytes is not None:
            pragmas.append(f'max_page_count = {max(max_bytes // PAGE_BYTES, 1)}')
        self._file = SQLiteFile(
            path, kind, APPLICATION, SCHEMA, writable=writable,
            make=() if writable else None, pragmas=pragmas)

    def find(self, path: str, state: str, recipe: str) -> StoredVideo | None:
        """Find a video by its file, as it was then, and how its frames were made."""
        return self._first(
            'SELECT id, content, total, rate FROM files JOIN videos USING (content) '
            'WHERE path = ? AND state = ? AND recipe = ?', path, state, recipe)

    def content_of(self, path: str, state: str) -> bytes:
        """Return a hash of a file, which is read unless its state is known."""
        rows = self._rows('SELECT content FROM files WHERE path = ? AND state = ?',
                          path, state)
        if rows and isinstance(rows[0][0], bytes):
            return rows[0][0]
        content = bytes.fromhex(hash_file(path))
        if file_state(path) == state:  # else it was changed meanwhile
            self._bind(path, state, content)
        return content

    def find_content(self, content: bytes, recipe: str) -> StoredVideo | None:
        """Find a video by a hash of its file."""
        return self._first('SELECT id, content, total, rate FROM videos '
                           'WHERE content = ? AND recipe = ?', content, recipe)

    def read(self, video: int, numbers: Sequence[int]) -> dict[int, bytes]:
        """Read those frames of a video, by its id, that are stored."""
        frames = {}
        for start in range(0, len(numbers), 500):  # SQLite takes 999 values
            ids = [video << 32 | number for number in numbers[start:start + 500]]
            rows = self._rows('SELECT id, crc, data FROM frames WHERE id IN '
                              f'({",".join("?" * len(ids))})', *ids)
            frames.update((key & 0xffffffff, data) for key, crc, data in rows
                          if isinstance(data, bytes) and crc32(data) == crc)
        return frames

    def numbers(self, video: int) -> set[int]:
        """List the numbers of the frames that are stored of a video."""
        return {key & 0xffffffff for key, in self._rows(
            'SELECT id FROM frames WHERE id BETWEEN ? AND ?',
            video << 32, video << 32 | 0xffffffff)}

    def _bind(self, path: str, state: str, content: bytes) -> None:
        """Note what a file holds, and drop frames that no file has any more."""
        if not self.writable or self.failure:
            return
        try:
            with self._file.transaction() as connection:
                old = connection.execute(
                    'SELECT content FROM files WHERE path = ?', (path, )).fetchone()
                connection.execute('INSERT OR REPLACE INTO files VALUES (?, ?, ?)',
                                   (path, state, content))
                if old and not connection.execute(
                        'SELECT 1 FROM files WHERE content = ?', old).fetchone():
                    self._drop(connection, *old)
        except InputError as error:
            self.fail(error)

    def _drop(self, connection: sqlite3.Connection, content: bytes) -> None:
        for video, in connection.execute(
                'SELECT id FROM videos WHERE content = ?', (content, )).fetchall():
            connection.execute('DELETE FROM frames WHERE id BETWEEN ? AND ?',
                               (video << 32, video << 32 | 0xffffffff))
        connection.execute('DELETE FROM videos WHERE content = ?', (content, ))

    def add(self, content: bytes, recipe: str, total: int, rate: float,
            frames: Iterable[tuple[int, bytes]]) -> None:
        """Store frames of a video, all of them or, beyond ``max_bytes``, none."""
        self.check()
        if self._is_full or not self.writable:
            return
        try:
            with self._file.transaction() as connection:
                connection.execute(
                    'INSERT OR IGNORE INTO videos (content, recipe, total, rate) '
                    'VALUES (?, ?, ?, ?)', (content, recipe, total, rate))
                video, = connection.execute(
                    'SELECT id FROM videos WHERE content = ? AND recipe = ?',
                    (content, recipe)).fetchone()
                connection.executemany(
                    'INSERT OR REPLACE INTO frames VALUES (?, ?, ?)',
                    ((video << 32 | number, crc32(data), data)
                     for number, data in frames))
        except InputError as error:
            if not self._has_reached_limit(error):
                self.fail(error)
                raise
            self._is_full = True
            most = format_bytes(self.max_bytes)
            print_log(f'{error}; it may have {most}, no more is added', 'current',
                      logging.WARNING)

    def check(self) -> None:
        """Raise what has made the file useless, if anything has."""
        if self.failure:
            raise self.failure

    def fail(self, error: InputError) -> None:
        """Go on without the file, after one warning."""
        if not self.failure:
            self.failure = error
            print_log(f'{error}; going on without it', 'current', logging.WARNING)

    def size(self) -> int:
        """Return how many bytes the file has, with what is in its log."""
        return self._file.size()

    def _has_reached_limit(self, error: InputError) -> bool:
        """Return True for a limit of ours, not a full disk: SQLite has one error."""
        return self.max_bytes is not None and 'is full' in str(
            error.__cause__) and shutil.disk_usage(
                osp.dirname(osp.abspath(self.path))).free > 2 * LOG_BYTES

    def _first(self, query: str, *values: object) -> StoredVideo | None:
        rows = self._rows(query, *values)
        # SQLite holds any type in any column.
        is_sound = rows and [type(x) for x in rows[0]] == [int, bytes, int, float]
        return StoredVideo(*rows[0]) if is_sound else None

    def _rows(self, query: str, *values: object) -> list[tuple]:
        """Return the rows of a query; none if the file is found damaged."""
        if not self.failure:
            try:
                return self._file.rows(query, *values)
            except InputError as error:
                self.fail(error)
        return []


def file_state(path: str) -> str:
    """Return size, mtime and ctime: setting the one does not hide a change."""
    stat = os.stat(path)
    return f'{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}'
