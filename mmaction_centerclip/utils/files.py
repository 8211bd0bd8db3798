"""Write files all of it or nothing, name and list them safely, and lock folders."""
import contextlib
import hashlib
import os
import os.path as osp
import re
import secrets
import socket
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mmaction_centerclip.errors import InputError

try:
    import fcntl
except ImportError:  # Not on every system; then nothing is locked.
    fcntl = None

# By which a folder's videos are known among its other files.
VIDEO_SUFFIXES = ('.3gp', '.avi', '.flv', '.gif', '.m4v', '.mkv', '.mov', '.mp4',
                  '.mpeg', '.mpg', '.mts', '.mxf', '.nut', '.ogv', '.ts', '.vob',
                  '.webm', '.wmv')


def expand_home(value: object) -> object:
    """Replace a leading ``~`` by the home in all texts of a value; dicts in place."""
    if isinstance(value, str):
        start, home, rest = re.fullmatch(
            r'(local-dir:|)(~?)(.*)', value, re.DOTALL).groups()
        return start + osp.expanduser(home + rest) if home else value
    if isinstance(value, Path):
        return value.expanduser()
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(map(expand_home, value))
    if isinstance(value, (dict, list)) or hasattr(value, 'merge_from_dict'):
        for key in range(len(value)) if isinstance(value, list) else list(value):
            old, new = value[key], expand_home(value[key])
            if new is not old:
                value[key] = new
    return value


def check_absent(*paths: str | None) -> None:
    """Raise an InputError if a file is there, before the work to fill it."""
    for path in map(expand_home, filter(None, paths)):
        if osp.exists(path):
            raise InputError(f'{path} exists already, choose another file')


def write_text(text: str, path: str) -> None:
    """Write a file of text, over one that is there, all of it or nothing."""
    with atomic_write(path) as partial, open(partial, 'w', encoding='utf-8') as file:
        file.write(text)


def hash_file(path: str) -> str:
    """Return a hash of all that a file holds."""
    digest = hashlib.blake2b(digest_size=20)
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, suffix: str = '') -> Iterator[str]:
    """Write to a temporary file, whose name is yielded, and rename it to ``path``.

    Devices and pipes are written in place. ``suffix`` is as for :func:`partial_beside`.
    """
    path = os.fspath(expand_home(path))
    try:
        if osp.isdir(path):
            raise IsADirectoryError(0, 'it is a folder')
        if osp.exists(path) and not osp.isfile(path) or osp.dirname(path) == '/dev':
            yield path
            return
        with partial_beside(path, suffix) as partial:
            yield partial
            os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
        raise InputError(f'{path} cannot be written: {reason}') from error


def partial_name(path: str, suffix: str = '') -> str:
    """Return a new name beside a path, such as ``.a.csv.1f2e3d4c.partial``."""
    folder, name = osp.split(path)
    return osp.join(folder, f'.{name[:50]}.{secrets.token_hex(4)}.partial{suffix}')


@contextlib.contextmanager
def partial_beside(path: str, suffix: str = '') -> Iterator[str]:
    """Yield the name of a new file beside another, which is removed at the end.

    The name is nobody's: the file is made here, and only it is removed. A kill leaves
    it, for :func:`remove_partials`. Some writers look at how the name ends: ``suffix``.
    """
    partial = partial_name(path, suffix)
    # By the umask, which tempfile does not heed.
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield partial
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


def remove_partials(folder: str | os.PathLike, names: str = '*') -> None:
    """Remove what killed writers left in a locked folder, and in no folder below it."""
    for path in Path(folder).glob(f'.{names}.*.partial*'):
        if re.fullmatch(r'\..+\.[0-9a-f]{8}\.partial(\.\w+)?', path.name):
            path.unlink(missing_ok=True)


def path_below(folder: str | os.PathLike, name: str, source: str) -> str:
    """Return the path for a name that data give; one that leads out is refused."""
    inner = osp.normpath(name) if isinstance(name, str) and name else '..'
    if osp.isabs(inner) or inner in ('.', '..') or '\0' in inner or inner.startswith(
            f'..{os.sep}'):
        raise InputError(f'{source}: {name!r} leads out of its folder; expected the '
                         'name of a file in it')
    path = osp.join(folder, inner)
    # A link on the way may lead out, too.
    parent = osp.realpath(osp.dirname(path))
    if osp.commonpath([parent, osp.realpath(folder)]) != osp.realpath(folder):
        raise InputError(f'{source}: {name!r} leads out of {folder} by a link')
    return path


def same_video(filename: str) -> str:
    """Return what all ways to name a file share, links too; a URL stays as it is."""
    if '://' in filename:
        return filename
    try:
        stat = os.stat(filename)
    except (OSError, ValueError):
        return osp.realpath(filename)
    return f'{stat.st_dev}:{stat.st_ino}'


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


def list_files(folder: str | os.PathLike) -> tuple[list[str], dict[str, str]]:
    """List the files in a folder and all folders in it, but for hidden ones.

    Links are followed, and a file that is there twice is listed once, under its own
    path where that is in the folder. Return paths, which begin with ``folder``, in
    order; and the folders whose files are missing there, with the reason.
    """
    if not os.path.isdir(folder):
        raise InputError(f'no such folder: {folder}')
    files, closed, seen = {}, {}, set()
    folders, links, linked_files = deque([os.fspath(folder)]), deque(), []
    while folders or links:
        here = folders.popleft() if folders else links.popleft()
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        try:
            for entry in sorted(os.scandir(here), key=lambda entry: entry.name):
                if entry.name.startswith('.'):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_symlink():
                    files[os.path.join(real, entry.name)] = entry.path
                elif not os.path.isdir(entry.path):
                    linked_files.append(entry.path)
                elif os.path.join(real, '').startswith(
                        os.path.join(os.path.realpath(entry.path), '')):
                    closed[entry.path] = 'a link to a folder that it is in'
                else:
                    links.append(entry.path)
        except OSError as error:
            closed[here] = error.strerror
    if os.fspath(folder) in closed:
        raise InputError(f'{folder}: {closed[os.fspath(folder)]}')
    for path in linked_files:
        files.setdefault(os.path.realpath(path), path)
    return sorted(files.values()), closed
