"""The SQLite file of an index: opened, locked, and what is set for all of it."""
import contextlib
import os
from collections.abc import Iterator

from filelock import FileLock, Timeout

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import expand_home
from mmaction_centerclip.utils.sqlite_file import SQLiteFile

from .records import APPLICATION, SCHEMA, VERSION

PRAGMAS = ('page_size = 8192',  # of new files; of 4,096 vectors of 512 waste a fifth
           'cache_size = 1000')  # pages; of 250 a search evicts those that lead to rows


@contextlib.contextmanager
def lock_index(path: str, waits: bool = False) -> Iterator[None]:
    """Keep an index, or a part of one, for this process.

    Another is refused, or ``waits`` until it is free.

    The system frees the lock when the process ends, however it ends. Who has opened the
    file of a lock just before it goes may lock that, beside who makes another: both
    commit whole files, in turn.
    """
    lock = FileLock(f'{path}.lock', timeout=-1 if waits else 0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f'{path}: another process adds to this index; '
                         'wait for its end') from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not while open on Windows
            os.remove(lock.lock_file)
        lock.release()


class IndexFile:
    """A file that is whole after a kill, see :class:`SQLiteFile`.

    ``settings`` are those of a new index, whose file is made when something is put in.
    None: the file must exist.
    """
    kind = 'an index of videos'
    remedy = 'name another file, or delete it and index anew'

    def __init__(self, path: str | os.PathLike,
                 settings: dict[str, str] | None = None) -> None:
        self.path, self.settings = os.fspath(expand_home(path)), settings
        self._file, self._is_new = None, not self._is_made()
        if settings is None and self._is_new:
            raise InputError(f'no such index: {self.path}')
        if os.path.isdir(self.path) or not os.path.isdir(
                os.path.dirname(self.path) or '.'):
            raise InputError(f'{self.path}: expected a file, in a folder that exists')
        self._opened()

    def _is_made(self) -> bool:
        # Empty: of a process that was killed as it made the file.
        return os.path.exists(self.path) and os.path.getsize(self.path) > 0

    def _opened(self, makes: bool = False) -> SQLiteFile | None:
        """Return the file; None as long as there is none, and it is not made."""
        if self._file is None and (makes or self._is_made()):
            query = 'INSERT INTO settings VALUES (?, ?)'
            file = SQLiteFile(
                self.path, self.kind, APPLICATION, SCHEMA, VERSION,
                make=None if self.settings is None else [
                    (query, item) for item in self.settings.items()],
                pragmas=PRAGMAS, remedy=self.remedy)
            found = dict(file.rows('SELECT name, value FROM settings'))
            if self._is_new and found != self.settings:
                raise InputError(f'{self.path}: another process has made it, with '
                                 f'settings {found}, expected {self.settings}')
            self._file, self.settings = file, found
        return self._file

    def _rows(self, query: str, *values: object) -> list[tuple]:
        file = self._opened()
        return file.rows(query, *values) if file else []

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from adding at the same time, see :func:`lock_index`.

        An empty new index is taken away again.
        """
        is_new = not self._is_made()
        with lock_index(self.path):
            try:
                yield
            finally:
                if is_new and self._file and not self._rows(
                        'SELECT 1 FROM files LIMIT 1'):
                    self.close()
                    os.remove(self.path)

    def remember(self, name: str, value: str | None) -> None:
        """Set a setting; forget it for None. Without a file nothing is done."""
        if (file := self._opened()) and self.settings.get(name) != value:
            with file.transaction() as connection:
                connection.execute('DELETE FROM settings WHERE name = ?', (name, ))
                if value is not None:
                    connection.execute(
                        'INSERT INTO settings VALUES (?, ?)', (name, value))
            self.settings = dict(file.rows('SELECT name, value FROM settings'))

    def state(self) -> list[tuple]:
        """Return what changes when another process has written."""
        return self._rows('PRAGMA data_version')

    @contextlib.contextmanager
    def one_moment(self) -> Iterator[None]:
        """Read the index as it is at one moment; others write when the block ends."""
        file = self._opened()
        with file.transaction('DEFERRED') if file else contextlib.nullcontext():
            yield

    def schema(self) -> int:
        """Return what changes when SQLite's VACUUM gives other rows to segments."""
        return self._rows('PRAGMA schema_version')[0][0]

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        """Name the file in errors about what it holds, a text for a number."""
        try:
            yield
        except InputError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise self.damaged(str(error)) from error

    def damaged(self, reason: str) -> InputError:
        """Return the error that says what is wrong with the file."""
        return self._file.damaged(reason)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None
