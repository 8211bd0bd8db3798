"""One crash-safe file of rows, in SQLite, that threads and processes share."""
import contextlib
import os
import os.path as osp
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmaction_centerclip.errors import InputError

from .files import expand_home

SEQUENCE = 'CREATE TABLE sqlite_sequence(name,seq)'  # which SQLite makes itself
_FILES = weakref.WeakSet()


class SQLiteFile:
    """A crash-safe file of rows, in SQLite, that threads and processes share.

    What a transaction wrote is there whole or not at all, also after a kill. Nothing in
    the file is executed: it is refused unless its tables are the given ones, with
    nothing beside them. Each process and thread has a connection of its own, opened
    when it is first needed, so that the object may be handed to workers; who forks has
    closed its own before.

    ``kind`` names it in messages, ``application`` in SQLite's header. ``make`` is run,
    with its values, where the tables are made; None: the file must exist. Unless
    ``writable``, it may be where nothing can be written.
    """

    def __init__(self, path: str | os.PathLike, kind: str, application: int,
                 schema: Sequence[str], version: int = 0, *,
                 make: Sequence[tuple[str, tuple]] | None = None,
                 writable: bool = True, pragmas: Sequence[str] = (),
                 remedy: str = 'delete it or name another file') -> None:
        self.path = os.fspath(expand_home(path))
        self.kind, self.remedy = kind, remedy
        self.application, self.schema, self.version = application, schema, version
        self.make, self.writable, self.pragmas = make, writable, pragmas
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}
        if make is None and not osp.isfile(self.path):
            raise InputError(f'{self.path}: there is no such file, expected {kind}')
        self.connection()

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _connections={})

    def connection(self) -> sqlite3.Connection:
        """Return the connection of this process and thread."""
        here = os.getpid(), threading.get_ident()
        if here not in self._connections:
            _FILES.add(self)
            with self.explained():
                self._connections[here] = self._open()
        return self._connections[here]

    def rows(self, query: str, *values: object) -> list[tuple]:
        connection = self.connection()
        with self.explained():
            return connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self, mode: str = 'IMMEDIATE') -> Iterator[sqlite3.Connection]:
        """Keep all that a block writes, or nothing; ``'DEFERRED'`` reads one moment."""
        connection = self.connection()
        with self.explained():
            connection.execute(f'BEGIN {mode}')
            try:
                yield connection
                connection.execute('COMMIT')
            finally:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute('ROLLBACK')

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Raise an InputError, in one line, for what SQLite has against the file."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # also in the schema
            # Such as a full disk, which the file is not to blame for.
            is_sound = isinstance(error, sqlite3.OperationalError)
            raise InputError(
                f'{self.path} cannot be used as {self.kind}: '
                f'{"" if is_sound else "it is damaged or something else, "}{error}'
                f'{"" if is_sound else f"; {self.remedy}"}') from error

    def damaged(self, reason: str) -> InputError:
        """Return the error that says what is wrong with the rows."""
        return InputError(f'{self.path} cannot be used as {self.kind}: it is damaged, '
                          f'{reason}; {self.remedy}')

    def size(self) -> int:
        """Return its bytes, what is in a log beside it being written back."""
        if self.writable:
            self.rows('PRAGMA wal_checkpoint(TRUNCATE)')
        (pages, ), (size, ) = self.rows('PRAGMA page_count') + self.rows(
            'PRAGMA page_size')
        return pages * size

    def close(self) -> None:
        """Close the connection of this process and thread."""
        here = os.getpid(), threading.get_ident()
        if here in self._connections:
            self._connections.pop(here).close()

    def _open(self) -> sqlite3.Connection:
        path, mode = osp.abspath(self.path), 'ro'
        if self.writable:
            mode = 'rw' if self.make is None else 'rwc'
        elif not os.access(osp.dirname(path), os.W_OK):
            mode = 'ro&immutable=1'  # else it wants to write a log beside it
        # SQLite takes a very short file for an empty one. It is not opened to look:
        # closing it would drop the locks that this process has on it.
        if osp.isfile(path) and 0 < osp.getsize(path) < 512:
            raise sqlite3.DatabaseError('file is not a database')
        connection = sqlite3.connect(
            f'{Path(path).as_uri()}?mode={mode}', uri=True, timeout=60,
            isolation_level=None, check_same_thread=False)
        for pragma in ('trusted_schema = OFF', 'cell_size_check = ON',
                       *(self.pragmas if self.writable else ())):
            connection.execute(f'PRAGMA {pragma}')
        if self.writable and self.make is not None and not self._tables(connection):
            self._make(connection)
        self._check(connection)
        return connection

    def _tables(self, connection: sqlite3.Connection) -> set[str]:
        return {str(sql) for sql, in connection.execute(
            'SELECT sql FROM sqlite_master WHERE sql IS NOT NULL')} - {SEQUENCE}

    def _make(self, connection: sqlite3.Connection) -> None:
        connection.execute('BEGIN EXCLUSIVE')
        if not self._tables(connection):  # else by another process, in between
            connection.execute(f'PRAGMA application_id = {self.application}')
            connection.execute(f'PRAGMA user_version = {self.version}')
            for statement in self.schema:
                connection.execute(statement)
            for query, values in self.make:
                connection.execute(query, values)
        connection.execute('COMMIT')

    def _check(self, connection: sqlite3.Connection) -> None:
        (application, ), (version, ) = (
            connection.execute(f'PRAGMA {name}').fetchone()
            for name in ('application_id', 'user_version'))
        if application == self.application and version != self.version:
            raise sqlite3.DatabaseError(
                f'of version {version}, this package reads version {self.version}')
        tables = self._tables(connection)
        if not (application or tables):
            raise sqlite3.DatabaseError('it is empty, as a process leaves it that is '
                                        'killed while it makes the file')
        if application != self.application or tables != set(self.schema):
            raise sqlite3.DatabaseError('it is a database of something else')


def _close_all() -> None:
    """Close what a forked process must not inherit: SQLite forbids it."""
    for file in list(_FILES):
        file.close()


if hasattr(os, 'register_at_fork'):  # Not on every system.
    os.register_at_fork(before=_close_all)
