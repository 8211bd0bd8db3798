"""Follow files that were moved with their folder."""
import os
from dataclasses import replace

from mmaction_centerclip.utils.files import hash_file

from .store import IndexStore


def relocate(store: IndexStore, old: str | os.PathLike,
             new: str | os.PathLike) -> tuple[dict[str, str], list[str]]:
    """Move all records below a folder to another one that holds the same files.

    A file counts as the same by size, and by time of modification or content. Return
    the paths by those before, and the old paths that have no such file.
    """
    old, new = (os.path.join(os.path.realpath(path), '') for path in (old, new))
    moved, left = {}, []
    with store.locked():
        for path, record in store.files().items():
            if not path.startswith(old):
                continue
            there = new + path[len(old):]
            try:
                stat = os.stat(there)
                is_same = stat.st_size == record.size and (
                    stat.st_mtime_ns == record.modified
                    or hash_file(there) == record.digest)
            except OSError:
                is_same = False
            if not is_same:
                left.append(path)
                continue
            store.move(path, there, replace(record, modified=stat.st_mtime_ns))
            moved[path] = there
    return moved, left
