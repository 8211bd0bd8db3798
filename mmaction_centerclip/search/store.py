"""Crash-safe SQLite file of an index."""
import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple
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
VERSION = 3
SCHEMA = (
    'CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)',
    'CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, '
    'size INTEGER NOT NULL, modified INTEGER NOT NULL, model TEXT NOT NULL, '
    'model_name TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT, '
    'checksum INTEGER NOT NULL)',
    'CREATE TABLE segments (file INTEGER NOT NULL REFERENCES files (id), '
    'start REAL NOT NULL, "end" REAL NOT NULL, vector BLOB NOT NULL, features BLOB)',
    'CREATE INDEX segments_of_file ON segments (file, start)')
HEADER = b'SQLite format 3\0'
SECONDS_TO_WAIT = 30  # for the short moments in which another process writes


class IndexStore:
    """Rows of files and their segments, whole after a kill.

    Args:
        path (str | os.PathLike): The file.
        settings (dict[str, str], optional): Of a new index, whose file is made
            when something is written. Defaults to None: the file must exist.

    Raises:
        InputError: If there is no such file, or it is damaged, of another
            version, or no index.
    """

    def __init__(self, path: str | os.PathLike,
                 settings: dict[str, str] | None = None) -> None:
        self.path, self.settings = os.fspath(path), settings
        self._db, self._has_file = None, False
        if settings is None and not self._is_made():
            raise InputError(f'no such index: {self.path}')
        if os.path.isdir(self.path) or not os.path.isdir(
                os.path.dirname(self.path) or '.'):
            raise InputError(f'{self.path}: expected a file, in a folder that exists')
        with self._explained():
            pass

    def _is_made(self) -> bool:
        # Empty: of a process that was killed as it made the file.
        return os.path.exists(self.path) and os.path.getsize(self.path) > 0

    def _connect(self, makes: bool) -> None:
        """Connect to the file; to memory as long as there is none."""
        is_made = self._is_made()
        if self._has_file or self._db and not (makes or is_made):
            return
        if is_made:
            self._check_header()
        elif not makes:
            self._db = sqlite3.connect(':memory:', isolation_level=None)
            return self._create()
        db = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT, isolation_level=None)
        # A file of others may have triggers and views of any kind.
        db.execute('PRAGMA trusted_schema = OFF')
        known, self._db = self._db, db
        if self.settings is not None and not self._schema():
            self._create()
        self._check_schema()
        settings = dict(db.execute('SELECT name, value FROM settings'))
        if known and settings != self.settings:
            raise InputError(f'{self.path}: another process has made it, with settings '
                             f'{settings}, expected {self.settings}')
        self.settings, self._has_file = settings, True

    def _check_header(self) -> None:
        """Refuse other files, since SQLite takes a very short one for empty."""
        with open(self.path, 'rb') as file:
            start = file.read(len(HEADER))
        # Zeros, where a process was killed as it made the file.
        if start not in (HEADER, bytes(len(HEADER))):
            raise InputError(f'{self.path} is no index of videos')

    def _create(self) -> None:
        with self._transaction():
            if self._schema():  # by another process, in between
                return
            self._db.execute(f'PRAGMA application_id = {APPLICATION}')
            self._db.execute(f'PRAGMA user_version = {VERSION}')
            for statement in SCHEMA:
                self._db.execute(statement)
            self._db.executemany('INSERT INTO settings VALUES (?, ?)',
                                 self.settings.items())

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
    def _explained(self, makes: bool = False) -> Iterator[None]:
        """Connect, and turn SQLite's errors into one line."""
        try:
            self._connect(makes)
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
            raise self._damage(str(error)) from error

    @contextlib.contextmanager
    def _transaction(self, kind: str = 'IMMEDIATE') -> Iterator[None]:
        """Keep all that is written, or nothing."""
        self._db.execute(f'BEGIN {kind}')
        try:
            yield
        except BaseException:
            self._db.execute('ROLLBACK')
            raise
        self._db.execute('COMMIT')

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from adding at the same time.

        The system frees the lock when the process ends, however it ends. A new
        index that nothing was added to is taken away again.

        Raises:
            InputError: If another process has it.
        """
        lock, is_new = f'{self.path}.lock', not self._is_made()
        with open(lock, 'a', encoding='utf-8') as file:
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Which one that its owner has just removed is not.
                is_ours = os.path.samestat(os.fstat(file.fileno()), os.stat(lock))
            except OSError:
                is_ours = False
            if not is_ours:
                raise InputError(f'{self.path}: another process adds to this index; '
                                 'wait for its end')
            try:
                yield
            finally:
                if is_new and self._has_file and not self.files():
                    self.close()
                    os.remove(self.path)
                with contextlib.suppress(OSError):  # not while open on Windows
                    os.remove(lock)

    def files(self) -> dict[str, FileRow]:
        """Return what is known of all files, by path."""
        with self._explained():
            return {path: FileRow(*row) for path, *row in self._db.execute(
                'SELECT CAST(path AS TEXT), size, modified, model, model_name, digest, '
                'reason FROM files ORDER BY path')}

    def put(self, path: str, row: FileRow, segments: Segments | None) -> None:
        """Write a file's row and its segments, in place of older ones."""
        checksum = segments.checksum() if segments else 0
        with self._explained(makes=True), self._transaction():
            self._remove(path)
            file = self._db.execute(
                'INSERT INTO files (path, size, modified, model, model_name, digest, '
                'reason, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
                (path, *astuple(row), checksum)).lastrowid
            if segments:
                self._db.executemany(
                    'INSERT INTO segments VALUES (?, ?, ?, ?, ?)',
                    ((file, float(start), float(end), vector.tobytes(), more)
                     for start, end, vector, more in zip(
                        segments.start, segments.end, segments.vectors,
                        map(pack_features, segments.features or repeat(None)))))

    def move(self, old: str, path: str, row: FileRow) -> None:
        """Move a file's row and segments to another path, or to newer facts."""
        with self._explained(), self._transaction():
            if path != old:
                self._remove(path)
            self._db.execute('UPDATE files SET path = ?, size = ?, modified = ? '
                             'WHERE path = ?', (path, row.size, row.modified, old))

    def remove(self, paths: Iterable[str]) -> None:
        """Forget files and their segments."""
        with self._explained(), self._transaction():
            for path in paths:
                self._remove(path)

    def _remove(self, path: str) -> None:
        self._db.execute('DELETE FROM segments WHERE file IN '
                         '(SELECT id FROM files WHERE path = ?)', (path, ))
        self._db.execute('DELETE FROM files WHERE path = ?', (path, ))

    def state(self) -> tuple[bool, int]:
        """Return what changes when another process has written."""
        with self._explained():
            return self._has_file, self._db.execute('PRAGMA data_version').fetchone()[0]

    def load(self) -> tuple[list[str], np.ndarray, Segments]:
        """Read all segments, and check that they are as they were written.

        Returns:
            tuple[list[str], np.ndarray, Segments]: The files' paths; for each
            segment the number of its file, int32 (N, ); and the segments, by
            file and start.

        Raises:
            InputError: If the index is damaged.
        """
        with self._explained(), self._transaction('DEFERRED'):  # all of one moment
            return self._load()

    def _load(self) -> tuple[list[str], np.ndarray, Segments]:
        files = self._db.execute('SELECT id, CAST(path AS TEXT), checksum FROM files '
                                 'WHERE reason IS NULL ORDER BY path').fetchall()
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
                raise self._damage(f'its rows of {path} have other sizes')
            times[:, part] = np.array([row[:2] for row in rows]).reshape(-1, 2).T
            if rows:
                vectors[part] = np.frombuffer(
                    b''.join(row[2] for row in rows), np.float16).reshape(
                        len(rows), -1)
            file_of[part] = number
            read = Segments(*times[:, part], vectors[part])
            if read.checksum() != checksum:
                raise self._damage(f'the checksum of {path} differs')
            if not read.are_sound():
                raise self._damage(f'{path} has times or vectors that no video has')
            place = part.stop
        if place != count:
            raise self._damage(f'{count - place} segments are of no file')
        return [path for _, path, _ in files], file_of, Segments(*times, vectors)

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
            raise self._damage(f'the features of {path} differ')
        return features

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._db, self._has_file = None, False

    def _damage(self, reason: str) -> InputError:
        return InputError(f'{self.path}: the index is damaged, {reason}; delete it and '
                          'index anew')
