"""Bring an index up to date with a folder, also where it was moved."""
import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from mmaction_centerclip.apis import list_files
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import hash_file
from mmaction_centerclip.utils.progress import track

from .encoding import SegmentEncoder, run_ahead
from .records import FileRecord
from .row_blocks import BLOCKS
from .store import IndexStore

PARTS = '.part-'  # how files of processes that share the work go on, see parts.py
PICTURE = 'has one frame, a picture'


@dataclass(frozen=True)
class Added:
    """The files of a folder by what :meth:`VideoIndex.add` did with them."""
    indexed: list[str] = field(default_factory=list)  # encoded now
    unchanged: list[str] = field(default_factory=list)  # and not encoded again
    moved: dict[str, str] = field(default_factory=dict)  # path to the one before
    removed: list[str] = field(default_factory=list)  # there no more
    pictures: list[str] = field(default_factory=list)  # left out
    # Other files without segments, and folders that cannot be read: why.
    unreadable: dict[str, str] = field(default_factory=dict)

    def leave_out(self, path: str, reason: str) -> None:
        """Note why a file has no segments."""
        if reason == PICTURE:
            self.pictures.append(path)
        else:
            self.unreadable[path] = reason


class FileEncoder:
    """Encode files into a store, and commit each when it is done.

    ``num_workers`` of them are decoded at a time; with ``pictures`` those of one frame
    are taken in, too.
    """

    def __init__(self, encoder: SegmentEncoder, pictures: bool, num_workers: int
                 ) -> None:
        self.encoder, self.pictures = encoder, pictures
        self.num_workers = num_workers

    def __call__(self, store: IndexStore, files: dict[str, FileRecord],
                 result: Added) -> None:
        jobs = ((lambda path=path: self._read(path)) for path in files)
        # Closed here: the collector may run in a thread that it would wait for.
        with contextlib.closing(run_ahead(jobs, self.num_workers)) as decoded:
            pairs = zip(files.items(), decoded)
            if files and self.encoder.inferencer.show_progress:
                pairs = track(pairs, len(files))
            for (path, record), windows in pairs:
                segments = None
                try:
                    record = replace(record, digest=next(windows))
                    segments = self.encoder.encode(windows)
                    result.indexed.append(path)
                except DecodingError as error:
                    record = replace(record, reason=error.reason)
                    result.leave_out(path, error.reason)
                store.put(path, record, segments)

    def _read(self, path: str) -> Iterator[str | tuple]:
        """Yield a hash of a file, and its decoded windows."""
        try:
            yield hash_file(path)
        except OSError as error:
            raise DecodingError(error.strerror) from error
        for number, window in enumerate(self.encoder.decode(path)):
            if not (number or self.pictures) and len(window[0]) == 2:
                raise DecodingError(PICTURE)
            yield window


class FolderUpdate:
    """Add, move and remove the files of a folder, see :meth:`VideoIndex.add`.

    The store is locked; ``record`` is what a file of that model has, and ``known`` are
    all files of the index, by path.
    """

    def __init__(self, store: IndexStore, record: FileRecord,
                 known: dict[str, FileRecord], folder: str | os.PathLike,
                 pictures: bool, drop_missing: bool) -> None:
        self.store, self.record = store, record
        self.known, self.pictures, self.drop_missing = known, pictures, drop_missing
        folder = os.path.realpath(folder)
        self.folder = os.path.join(folder, '')
        is_gone = drop_missing and _is_missing(folder) and any(
            path.startswith(self.folder) for path in known)
        paths, self.closed = ([], {}) if is_gone else list_files(folder)
        if not (paths or self.closed or drop_missing):
            raise InputError(f'{folder} has no files; if they are gone for good, drop '
                             'them with drop_missing (--drop-missing)')
        self.result = Added(unreadable=dict(self.closed))
        self.files = dict(self._look_at(paths))

    def run(self, encode: Callable[[IndexStore, dict[str, FileRecord], Added], None]
            ) -> Added:
        """Move, take out and encode; return what became of each file.

        ``encode`` is a :class:`FileEncoder`, or who shares the files out to several.
        """
        todo = [path for path in self.files if not self._is_known(path)]
        gone = self._find_gone(todo)
        todo = self._move(todo, gone)
        moved = set(self.result.moved.values())
        self.result.removed.extend(
            path for path in gone
            if path not in moved and (self.drop_missing or self._is_left(path)))
        self.store.remove(self.result.removed)
        encode(self.store, {path: self.files[path] for path in todo}, self.result)
        return self.result

    def _look_at(self, paths: list[str]) -> Iterator[tuple[str, FileRecord]]:
        """Yield what there is to know of files without reading them."""
        index = os.path.realpath(self.store.path)
        own, beside = {index, f'{index}.lock', f'{index}-journal'}, (PARTS, BLOCKS)
        for path in paths:
            real = os.path.realpath(path)
            if real in own or real.startswith(tuple(f'{index}{x}' for x in beside)):
                continue
            try:
                path.encode()
                stat = os.stat(path)
                yield path, replace(
                    self.record, size=stat.st_size, modified=stat.st_mtime_ns)
            except UnicodeEncodeError:
                self.result.unreadable[os.fsencode(path).decode(errors='replace')] = (
                    'its name is no UTF-8')
            except OSError as error:
                self.result.unreadable[path] = self.closed[path] = error.strerror

    def _is_known(self, path: str) -> bool:
        """Check that a file is in the index as it is and as is asked for."""
        old, new = self.known.get(path), self.files[path]
        if old is None or (old.size, old.modified, old.model) != (
                new.size, new.modified, new.model) or (
                    self.pictures and old.reason == PICTURE):
            return False
        self.result.unchanged.append(path)
        if old.reason is not None:
            self.result.leave_out(path, old.reason)
        return True

    def _find_gone(self, todo: list[str]) -> list[str]:
        """List the records that no file stands behind, in other folders if need be."""
        sizes = {self.files[path].size for path in todo}
        return [path for path, old in self.known.items() if path not in self.files
                and (self._is_left(path) or (self.drop_missing or old.size in sizes)
                     and _is_missing(path))]

    def _is_left(self, path: str) -> bool:
        """Check that a record is of this folder, and not where it cannot be read."""
        return path.startswith(self.folder) and not (
            path.startswith(tuple(os.path.join(p, '') for p in self.closed))
            or path in self.closed and not _is_missing(path))

    def _move(self, todo: list[str], gone: list[str]) -> list[str]:
        """Find files by their content; return those that are not found."""
        stale, sizes, left = defaultdict(list), set(), []
        for path in (*gone, *todo):
            old = self.known.get(path)
            if old and old.reason is None and old.model == self.record.model:
                stale[old.digest].append(path)
                sizes.add(old.size)
        for path in todo:
            new, digest = self.files[path], None
            if new.size in sizes:
                with contextlib.suppress(OSError):  # which decoding will name
                    digest = hash_file(path)
            if not (same := stale.get(digest)):
                left.append(path)
                continue
            before = path if path in same else same[0]
            self.store.move(before, path, new)
            same.remove(before)
            if path == before:
                self.result.unchanged.append(path)
                continue
            self.result.moved[path] = before
            if path in self.known:  # whose record is overwritten
                digest = self.known[path].digest
                stale[digest] = [other for other in stale[digest] if other != path]
        return left


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:  # It may be there.
        pass
    return False


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
