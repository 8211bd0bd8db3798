"""Lock an index, or a part of one, for one process."""
import contextlib
import os
from collections.abc import Iterator

from filelock import FileLock, Timeout

from mmaction_centerclip.errors import InputError


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
