"""List the files of a folder, each once."""
import os
from collections import deque

from mmaction_centerclip.errors import InputError


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
