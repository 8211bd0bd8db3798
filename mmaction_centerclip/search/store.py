"""The file of an index: rows in SQLite, whose transactions are kept or not."""
import contextlib
import os
import sqlite3
from collections.abc import Iterator
from itertools import repeat

import numpy as np

from mmaction_centerclip.errors import InputError

from .records import FileRow, Segments, pack_features, unpack_features

try:
    import fcntl
except ImportError:  # Not on every system; then SQLite's own lock is left.
    fcntl = None

__all__ = ['FileRow', 'IndexStore', 'Segments']

APPLICATION = 0x43434C50  # marks the file as an index of ours
VERSION = 2
SCHEMA = (
    'CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)',
    'CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, '
    'size INTEGER NOT NULL, modified INTEGER NOT NULL, model TEXT NOT NULL, '
    'model_name TEXT NOT NULL, reason TEXT, checksum INTEGER NOT NULL)',
    'CREATE TABLE segments (file INTEGER NOT NULL REFERENCES files (id), '
    'start REAL NOT NULL, "end" REAL NOT NULL, vector BLOB NOT NULL, features BLOB)',
    'CREATE INDEX segments_of_file ON segments (file, start)')
HEADER = b'SQLite format 3\0'
SECONDS_TO_WAIT = 30  # for the short moments in which another process writes


class IndexStore:
    """A file of rows, that a process which is killed leaves whole.

    Args:
        path (str | os.PathLike): The file.
        settings (dict[str, str], optional): Of a new index, which is made
            where there is no file. Defaults to None: the file must exist.

    Raises:
        InputError: If there is no such file, or it is damaged, of another
            version, or no index.
    """

    def __init__(self, path: str | os.PathLike,
                 settings: dict[str, str] | None = None) -> None:
        self.path = os.fspath(path)
        is_new = not os.path.exists(self.path) or not os.path.getsize(self.path)
        if is_new and settings is None:
            raise InputError(f'no such index: {self.path}')
        if os.path.isdir(self.path) or is_new and not os.path.isdir(
                os.path.dirname(self.path) or '.'):
            raise InputError(f'{self.path}: expected a file, in a folder that exists')
        self._check_header(is_new)
        with self._explained():
            self._db = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT,
                                       isolation_level=None)
            # A file of others may have triggers and views of any kind.
            self._db.execute('PRAGMA trusted_schema = OFF')
            # Empty: new, or of a process that was killed as it made it.
            if settings is not None and not self._schema():
                self._create(settings)
            self._check_schema()
            self.settings = dict(self._db.execute('SELECT name, value FROM settings'))

    def _check_header(self, is_new: bool) -> None:
        """Refuse other files, since SQLite takes a very short one for empty."""
        if not is_new:
            with open(self.path, 'rb') as file:
                start = file.read(len(HEADER))
            # Zeros, where a process was killed as it made the file.
            if start not in (HEADER, bytes(len(HEADER))):
                raise InputError(f'{self.path} is no index of videos')

    def _create(self, settings: dict[str, str]) -> None:
        with self._transaction():
            if self._schema():  # by another process, in between
                return
            self._db.execute(f'PRAGMA application_id = {APPLICATION}')
            self._db.execute(f'PRAGMA user_version = {VERSION}')
            for statement in SCHEMA:
                self._db.execute(statement)
            self._db.executemany('INSERT INTO settings VALUES (?, ?)',
                                 settings.items())

    def _schema(self) -> set[str]:
        return {sql for sql, in self._db.execute(
            'SELECT sql FROM sqlite_master WHERE sql IS NOT NULL')}

    def _check_schema(self) -> None:
        schema = self._schema()
        application, version = (
            self._db.execute(f'PRAGMA {name}').fetchone()[0]
            for name in ('application_id', 'user_version'))
        if application != APPLICATION:
            raise InputError(f'{self.path} is a database, but no index of videos')
        if version != VERSION or schema != set(SCHEMA):
            raise InputError(f'{self.path} is an index of version {version}, this '
                             f'package reads version {VERSION}; index anew')

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in one line what SQLite has against the file."""
        try:
            yield
        except sqlite3.Error as error:
            advice = {
                'SQLITE_BUSY': 'another process writes to it',
                'SQLITE_NOTADB': 'it is no index', 'SQLITE_FULL': 'the disk is full',
                'SQLITE_READONLY': 'it cannot be written to',
                'SQLITE_CANTOPEN': 'it cannot be opened',
            }.get(getattr(error, 'sqlite_errorname', ''),
                  'the index is damaged; delete it and index anew')
            raise InputError(f'{self.path}: {advice} ({error})') from error
        except InputError:
            raise
        except (TypeError, ValueError, OverflowError) as error:  # of what rows hold
            raise InputError(f'{self.path}: the index is damaged; delete it and index '
                             f'anew ({error})') from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Keep all that is written, or nothing."""
        self._db.execute('BEGIN IMMEDIATE')
        try:
            yield
        except BaseException:
            self._db.execute('ROLLBACK')
            raise
        self._db.execute('COMMIT')

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from adding at the same time.

        The system frees the lock when the process ends, however it ends.

        Raises:
            InputError: If another process has it.
        """
        with open(f'{self.path}.lock', 'a', encoding='utf-8') as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise InputError(f'{self.path}: another process adds to this '
                                     'index; wait for its end') from None
            yield

    def files(self) -> dict[str, FileRow]:
        """Return what is known of all files, by path."""
        with self._explained():
            return {path: FileRow(*row) for path, *row in self._db.execute(
                'SELECT path, size, modified, model, model_name, reason FROM files '
                'ORDER BY path')}

    def put(self, path: str, row: FileRow, segments: Segments | None) -> None:
        """Write a file's row and its segments, in place of older ones."""
        checksum = segments.checksum() if segments else 0
        with self._explained(), self._transaction():
            self._remove(path)
            file = self._db.execute(
                'INSERT INTO files (path, size, modified, model, model_name, reason, '
                'checksum) VALUES (?, ?, ?, ?, ?, ?, ?)',
                (path, row.size, row.modified, row.model, row.model_name, row.reason,
                 checksum)).lastrowid
            if segments:
                self._db.executemany(
                    'INSERT INTO segments VALUES (?, ?, ?, ?, ?)',
                    ((file, float(start), float(end), vector.tobytes(), more)
                     for start, end, vector, more in zip(
                        segments.start, segments.end, segments.vectors,
                        map(pack_features, segments.features or repeat(None)))))

    def remove(self, paths: list[str]) -> None:
        """Forget files and their segments."""
        with self._explained(), self._transaction():
            for path in paths:
                self._remove(path)

    def _remove(self, path: str) -> None:
        self._db.execute('DELETE FROM segments WHERE file IN '
                         '(SELECT id FROM files WHERE path = ?)', (path, ))
        self._db.execute('DELETE FROM files WHERE path = ?', (path, ))

    def state(self) -> int:
        """Return a number that changes when another process has written."""
        with self._explained():
            return self._db.execute('PRAGMA data_version').fetchone()[0]

    def load(self) -> tuple[list[str], np.ndarray, Segments]:
        """Read all segments, and check that they are as they were written.

        Returns:
            tuple[list[str], np.ndarray, Segments]: The files' paths; for each
            segment the number of its file, int32 (N, ); and the segments, by
            file and start.

        Raises:
            InputError: If the index is damaged.
        """
        with self._explained():
            self._db.execute('BEGIN')  # All that follows is of one moment.
            try:
                return self._load()
            finally:
                self._db.execute('ROLLBACK')

    def _load(self) -> tuple[list[str], np.ndarray, Segments]:
        files = self._db.execute('SELECT id, path, checksum FROM files WHERE reason '
                                 'IS NULL ORDER BY path').fetchall()
        count, = self._db.execute('SELECT count(*) FROM segments').fetchone()
        size, = self._db.execute('SELECT max(length(vector)) FROM segments').fetchone()
        vectors = np.empty((count, (size or 0) // 2), np.float16)
        times, file_of = np.empty((2, count)), np.empty(count, np.int32)
        place = 0
        for number, (file, path, checksum) in enumerate(files):
            rows = self._db.execute('SELECT start, "end", vector FROM segments WHERE '
                                    'file = ? ORDER BY start', (file, )).fetchall()
            part = slice(place, place + len(rows))
            if any(len(row[2]) != size for row in rows) or part.stop > count:
                raise InputError(f'{self.path}: the index is damaged, its rows of '
                                 f'{path} have other sizes; delete it and index anew')
            times[:, part] = np.array([row[:2] for row in rows]).reshape(-1, 2).T
            if rows:
                vectors[part] = np.frombuffer(
                    b''.join(row[2] for row in rows), np.float16).reshape(
                        len(rows), -1)
            file_of[part] = number
            read = Segments(times[0, part], times[1, part], vectors[part])
            if read.checksum() != checksum or not np.isfinite(vectors[part]).all():
                raise InputError(f'{self.path}: the index is damaged, the checksum of '
                                 f'{path} differs; delete it and index anew')
            place = part.stop
        if place != count:
            raise InputError(f'{self.path}: the index is damaged, {count - place} '
                             'segments are of no file; delete it and index anew')
        return ([path for _, path, _ in files], file_of,
                Segments(times[0], times[1], vectors))

    def features(self, path: str, start: float) -> np.ndarray:
        """Read what is kept of a segment beside its vector, float16 (S, E).

        Raises:
            InputError: If the index is damaged.
        """
        with self._explained():
            blob, size = self._db.execute(
                'SELECT features, length(vector) FROM segments WHERE start = ? AND '
                'file = (SELECT id FROM files WHERE path = ?)',
                (start, path)).fetchone() or (None, 0)
        features = unpack_features(blob, size // 2)
        if features is None:
            raise InputError(f'{self.path}: the index is damaged, the features of '
                             f'{path} differ; delete it and index anew')
        return features

    def close(self) -> None:
        """Close the file."""
        self._db.close()
