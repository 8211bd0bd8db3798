"""A folder that one process has for itself."""
import os
import os.path as osp
import socket
from functools import partial

from mmaction_centerclip.errors import InputError

try:
    import fcntl
except ImportError:  # Not on every system; then nothing is locked.
    fcntl = None

_HELD: set[str] = set()
"""Folders that this process has for itself."""


def lock_folder(folder: str, name: str, work: str) -> None:
    """Make a folder and keep it for this process, as long as it lives."""
    path = osp.realpath(osp.join(folder, '.lock'))
    if path in _HELD and osp.exists(path):  # else it was deleted meanwhile
        return
    try:
        os.makedirs(folder, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(f'{name} cannot be written to: {error.strerror}') from None
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(handle, 200).decode(errors='replace').strip()
        os.close(handle)
        raise InputError(f'{name}: another {work} writes there ({owner or "unknown"}); '
                         'wait for its end or give another') from None
    # A worker that outlives a killed process must not hold the lock.
    os.register_at_fork(after_in_child=partial(os.close, handle))
    _HELD.add(path)
    os.truncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}'.encode())
