"""Keep encoded frames of videos in one file that processes share."""
import contextlib
import os
import os.path as osp
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError

__all__ = ['FrameStore', 'StoredVideo']

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

    An SQLite file: what a transaction wrote is there whole or not at all,
    also after a kill, and processes of one machine read and write it at once.
    Nothing in it is executed. A frame whose checksum is not its own counts as
    absent; where the file itself is found damaged, the rest of the run goes
    on without it, after one warning.

    Each process and thread has a connection of its own, opened when it is
    first needed, so that a store may be handed to workers.

    Args:
        path (str): The file; made where it does not exist.
        max_bytes (int, optional): How large the file may become; a log of up
            to 8 MiB is beside it while it is written. What no longer fits is
            not stored. Defaults to None: no limit.
        writable (bool): Whether to add to it. If not, it must exist, and may
            be where nothing can be written. Defaults to True.

    Raises:
        InputError: If it is no such file, or cannot be opened.
    """

    def __init__(self, path: str, max_bytes: int | None = None,
                 writable: bool = True) -> None:
        self.path, self.max_bytes, self.writable = path, max_bytes, writable
        self._local = None  # (process, thread, connection)
        self._inherited = []  # connections of the parent, never to be closed
        self._stopped = self._full = False
        folder = osp.dirname(osp.abspath(path))
        if writable:
            with contextlib.suppress(FileExistsError):
                os.makedirs(folder)
        if not writable and not osp.isfile(path):
            raise InputError(f'no frame cache to read: {path}')
        try:
            connection = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f'{path} cannot be used as a frame cache ({error}); delete it or '
                'name another file') from None
        # Not kept: a worker that is forked must not inherit it.
        connection.close()

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _local=None, _inherited=[])

    def find(self, path: str, state: str, recipe: str) -> StoredVideo | None:
        """Find a video by its file.

        Args:
            path (str): The file's name.
            state (str): Its size and times, which must be as they were.
            recipe (str): How its frames were made.
        """
        return self._first(
            'SELECT id, content, total, rate FROM files JOIN videos USING (content) '
            'WHERE path = ? AND state = ? AND recipe = ?', path, state, recipe)

    def content_of(self, path: str, state: str) -> bytes | None:
        """Return the hash of a file whose size and times are as they were."""
        rows = self._rows('SELECT content FROM files WHERE path = ? AND state = ?',
                          path, state)
        return rows[0][0] if rows and isinstance(rows[0][0], bytes) else None

    def find_content(self, content: bytes, recipe: str) -> StoredVideo | None:
        """Find a video by a hash of its file."""
        return self._first('SELECT id, content, total, rate FROM videos '
                           'WHERE content = ? AND recipe = ?', content, recipe)

    def read(self, video: int, numbers: Sequence[int]) -> dict[int, bytes]:
        """Read those of a video's frames that are stored.

        Args:
            video (int): Its id.
            numbers (Sequence[int]): Of the frames, each once.
        """
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

    def bind(self, path: str, state: str, content: bytes) -> None:
        """Note what a file holds, and drop frames that no file has any more."""
        with self._writing() as connection:
            if connection is None:
                return
            old = connection.execute(
                'SELECT content FROM files WHERE path = ?', (path, )).fetchone()
            connection.execute('INSERT OR REPLACE INTO files VALUES (?, ?, ?)',
                               (path, state, content))
            if old and not connection.execute(
                    'SELECT 1 FROM files WHERE content = ?', old).fetchone():
                for video, in connection.execute(
                        'SELECT id FROM videos WHERE content = ?', old).fetchall():
                    connection.execute('DELETE FROM frames WHERE id BETWEEN ? AND ?',
                                       (video << 32, video << 32 | 0xffffffff))
                connection.execute('DELETE FROM videos WHERE content = ?', old)

    def add(self, content: bytes, recipe: str, total: int, rate: float,
            frames: Iterable[tuple[int, bytes]]) -> None:
        """Store frames of a video, all of them or, where it is full, none.

        Args:
            content (bytes): A hash of its file.
            recipe (str): How its frames were made.
            total (int): How many frames it has.
            rate (float): Frames a second.
            frames (Iterable[tuple[int, bytes]]): Number and bytes of each.
        """
        if self._full:
            return
        with self._writing() as connection:
            if connection is None:
                return
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

    def _first(self, query: str, *values: object) -> StoredVideo | None:
        rows = self._rows(query, *values)
        # SQLite holds any type in any column.
        is_sound = rows and [type(x) for x in rows[0]] == [int, bytes, int, float]
        return StoredVideo(*rows[0]) if is_sound else None

    def _rows(self, query: str, *values: object) -> list[tuple]:
        """Return the rows of a query; none if the file is found damaged."""
        if not self._stopped:
            try:
                return self._connection().execute(query, values).fetchall()
            except sqlite3.Error as error:
                self._stop(error)
        return []

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection in a transaction, or None where none can be had."""
        if not self.writable or self._stopped:
            yield None
            return
        connection = None
        try:
            connection = self._connection()
            connection.execute('BEGIN IMMEDIATE')
            yield connection
            connection.execute('COMMIT')
        except sqlite3.Error as error:
            if 'full' in str(error):
                self._full = True
                self._warn(f'{error}, no more frames are added')
            else:
                self._stop(error)
        finally:
            if connection is not None and connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute('ROLLBACK')

    def _stop(self, error: sqlite3.Error) -> None:
        self._stopped = True
        self._warn(f'{error}; going on without it, from the videos')

    def _warn(self, text: str) -> None:
        print_log(f'frame cache {self.path}: {text}', 'current', level=30)

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this process and thread."""
        here = os.getpid(), threading.get_ident()
        if self._local is None or self._local[:2] != here:
            self._inherited.append(self._local)
            self._local = *here, self._connect()
        return self._local[2]

    def _connect(self) -> sqlite3.Connection:
        mode = 'rwc' if self.writable else 'ro'
        if not self.writable and not os.access(osp.dirname(osp.abspath(self.path)),
                                               os.W_OK):
            mode += '&immutable=1'  # else it wants to write a log beside it
        connection = sqlite3.connect(
            f'{Path(osp.abspath(self.path)).as_uri()}?mode={mode}', uri=True,
            timeout=60, isolation_level=None, check_same_thread=False)
        connection.execute('PRAGMA trusted_schema = OFF')
        connection.execute('PRAGMA cell_size_check = ON')
        if self.writable:
            connection.execute(f'PRAGMA page_size = {PAGE_BYTES}')
            connection.execute('PRAGMA journal_mode = WAL')
            connection.execute('PRAGMA synchronous = NORMAL')
            connection.execute(
                f'PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}')
            connection.execute(f'PRAGMA journal_size_limit = {LOG_BYTES}')
        self._check_schema(connection)
        if self.writable and self.max_bytes is not None:
            size, = connection.execute('PRAGMA page_size').fetchone()
            connection.execute(
                f'PRAGMA max_page_count = {max(self.max_bytes // size, 1)}')
        return connection

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """Make the tables, or see that they are these and nothing else is there."""
        query = "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        if self.writable and not connection.execute(query).fetchall():
            connection.execute('BEGIN EXCLUSIVE')
            if not connection.execute(query).fetchall():
                connection.execute(f'PRAGMA application_id = {APPLICATION}')
                for table in SCHEMA:
                    connection.execute(table)
            connection.execute('COMMIT')
        found = sorted(str(sql) for sql, in connection.execute(query))
        owner, = connection.execute('PRAGMA application_id').fetchone()
        if owner != APPLICATION or found != sorted(SCHEMA):
            raise sqlite3.DatabaseError('it is a database of something else')
