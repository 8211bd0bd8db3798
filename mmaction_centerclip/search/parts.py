"""Share the files of an index out to several processes, and merge what they did."""
import contextlib
import glob
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import torch.distributed as dist

from mmaction_centerclip.errors import InputError

from .folder_update import PARTS, Added, FileEncoder
from .index_file import lock_index
from .records import FileRecord, Segments
from .store import IndexStore

_NAME = re.compile(rf'{re.escape(PARTS)}\d+-[0-9a-f]{{32}}')


class Part(IndexStore):
    """A file beside the index with what one process has encoded.

    SQLite lets one process write to a file, and over NFS no two may share one.
    """
    kind, remedy = 'a part of an index', 'delete it, its files are encoded again'

    def __init__(self, path: str, index: IndexStore) -> None:
        expected = {name: index.settings.get(name) for name in ('window', 'split')}
        super().__init__(path, expected)
        if self.settings != expected:
            raise InputError(f'{path}: it is a part of an index with {self.settings}, '
                             f'expected {expected}; {self.remedy}')

    def segments(self, path: str) -> Segments | None:
        """Return the segments of a file with their features, as they were written."""
        for file, checksum, is_plain in self._rows(
                'SELECT id, checksum, features IS NULL FROM files JOIN segments ON '
                'file = id WHERE path = ? LIMIT 1', path):
            _, segments = self.read(file, path, checksum)
            return segments if is_plain else replace(segments, features=[
                self.features(path, start) for start in segments.start.tolist()])
        return None


def merge_parts(store: IndexStore, record: FileRecord, any_model: bool = False,
                awaited: Sequence[str] = ()) -> bool:
    """Move what is in parts beside an index into it, in the order of paths, at once.

    All parts that no process holds, also of earlier runs; those that are ``awaited``
    when their processes have ended. The index is locked. Return True if there was
    anything that it lacked.

    Args:
        record (FileRecord): What a file of the model has.
        any_model (bool): Whether files of other models are left out, not refused.
    """
    found = {name.removesuffix('.lock').removesuffix('-journal') for name in
             glob.glob(f'{glob.escape(store.path)}{PARTS}*')}
    # Of another name it may be an index of a user's.
    found = {path for path in found if _NAME.fullmatch(path[len(store.path):])}
    with contextlib.ExitStack() as stack:
        known, sources, parts = store.files(), {}, []
        for path in sorted({*found, *awaited}):
            try:
                stack.enter_context(lock_index(path, waits=path in awaited))
            except InputError:  # A process of another run fills it.
                continue
            parts.append(part := Part(path, store))
            stack.callback(part.close)
            for file, new in part.files().items():
                if new.model != record.model:
                    if any_model:  # They are encoded anew.
                        continue
                    raise InputError(
                        f'{path} is of another model: {new.model_name} with weights '
                        f'and settings {new.model}, got {record.model_name} with '
                        f'{record.model}; {part.remedy}')
                if _is_newer(file, new, known.get(file), record.model):
                    known[file], sources[file] = new, part
        if sources:
            store.put_all((file, known[file], sources[file].segments(file))
                          for file in sorted(sources))
        for part in parts:
            part.close()
            for name in (part.path, f'{part.path}-journal'):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(name)
    return bool(sources)


def _is_newer(path: str, new: FileRecord, old: FileRecord | None, model: str) -> bool:
    """Check that a part knows a file better than the index, or another part, does."""
    if old is None or old.model != model or old.change_of(path):
        return new != old
    return old.reason not in (None, new.reason) and _is_of(new, old)


def _is_of(record: FileRecord, asked: FileRecord) -> bool:
    return (record.size, record.modified, record.model) == (
        asked.size, asked.modified, asked.model)


def add_together(index, folder: str | os.PathLike, batch_size: int = 8,
                 num_workers: int = 2, reindex: bool = False, pictures: bool = False,
                 drop_missing: bool = False) -> Added | None:
    """Add a folder as :meth:`VideoIndex.add` does, in all processes of a launcher.

    Each, joined by :func:`join_processes`, calls it with the same options. The first
    shares the files out by their sizes, waits until the others have ended, however
    they end, and merges. It returns what became of the files, the others None.
    """
    encode = FileEncoder(index.encoder, pictures, num_workers)
    path = f'{index.store.path}{PARTS}{dist.get_rank()}-{uuid.uuid4().hex}'
    # The others wait long where the first reads many files that may have been moved; a
    # process that ends is noticed at once.
    with _explained():
        group = dist.new_group(timeout=timedelta(days=1), backend='gloo')
    if dist.get_rank():
        index.encoder.batch_size = batch_size
        with lock_index(path):  # until it is done, which the first waits for
            with _explained():
                dist.gather_object((path, index.model), group=group)
                dist.scatter_object_list(share := [None], None, group=group)
            index.store.close()
            _encode_part(path, index.store, encode, share[0])
        return None
    with _explained():
        dist.gather_object((path, index.model),
                           others := [None] * dist.get_world_size(), group=group)
    paths, shares = [path for path, _ in others], []

    def share_out(store: IndexStore, files: dict[str, FileRecord], result: Added
                  ) -> None:
        shares.extend(_deal(files, len(paths)))
        with _explained():
            dist.scatter_object_list([None], shares, group=group)
        with lock_index(path):
            _encode_part(path, store, encode, shares[0])
        merge_parts(store, FileRecord(0, 0, index.model, index.model_name),
                    awaited=paths)
        _tell(store.files(), files, result)

    try:
        if len(models := {model for _, model in others}) > 1:
            raise InputError('all processes must have one model, with the same weights '
                             f'and settings, got {", ".join(sorted(models))}')
        return index.add(folder, batch_size, num_workers, reindex, pictures,
                         drop_missing, share_out)
    finally:
        if not shares:  # It has failed, and the others wait.
            with contextlib.suppress(RuntimeError):
                dist.scatter_object_list([None], [{}] * len(paths), group=group)


def _encode_part(path: str, store: IndexStore, encode: FileEncoder,
                 files: dict[str, FileRecord]) -> None:
    part = Part(path, store)
    with contextlib.closing(part):
        encode(part, files, Added())


def _deal(files: dict[str, FileRecord], count: int) -> list[dict[str, FileRecord]]:
    """Share files out so that all have as many bytes, each share in their order."""
    bytes_of, owner = [0] * count, {}
    for path in sorted(files, key=lambda path: -files[path].size):
        owner[path] = bytes_of.index(min(bytes_of))
        bytes_of[owner[path]] += files[path].size + 1  # Empty ones are dealt, too.
    return [{path: record for path, record in files.items() if owner[path] == i}
            for i in range(count)]


def _tell(known: dict[str, FileRecord], files: dict[str, FileRecord], result: Added
          ) -> None:
    """Note what became of files that were shared out."""
    left = []
    for path, asked in files.items():
        record = known.get(path)
        if record is None or not _is_of(record, asked):
            left.append(path)
        elif record.reason is None:
            result.indexed.append(path)
        else:
            result.leave_out(path, record.reason)
    if left:
        raise InputError(f'{len(left)} of {len(files)} files are not encoded, such as '
                         f'{left[0]}: a process has ended before its time; run it '
                         'again for the rest')


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise an InputError where another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise InputError('another of the processes that share the files has failed; '
                         f'run it again ({str(error).splitlines()[0]})') from error
