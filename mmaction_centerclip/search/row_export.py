"""Write the segments of an index for a search engine."""
import os
from collections.abc import Iterator

import numpy as np
from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError, import_packages
from mmaction_centerclip.utils.files import atomic_write, check_absent
from mmaction_centerclip.utils.progress import track

from .ranking import draw_background
from .records import Segments
from .store import IndexStore

FORMAT = 1  # of the file, as its metadata say
ROWS = 16_384  # of a row group: 32 MiB of 512 values each


def export_rows(store: IndexStore, path: str | os.PathLike) -> int:
    """Write the segments of an index as a Parquet file, and return how many.

    By file and start, as :meth:`IndexStore.load` has them, but a part at a time: an
    index may be larger than memory. It is locked meanwhile, since the numbers of rows
    are those of one moment.

    Columns are ``row`` (int64, from 0), ``file`` (a dictionary of strings), ``start``
    and ``end`` (float64, seconds), ``vector`` (a fixed-size list of float32, of length
    1 but for the rounding of the index to float16), and ``background`` (bool): the
    segments whose scores have the median that :func:`join_moments` takes. The schema's
    metadata are ``version``, ``model``, ``model_name``, ``window``, ``split`` and
    ``width``; ``model`` is what :func:`mmaction_centerclip.apis.model_hash` returns.
    """
    path = os.fspath(path)
    if os.path.splitext(path)[1] != '.parquet':
        raise InputError(f'{path}: expected a .parquet file')
    check_absent(path)
    pa, pq = import_packages(
        'the export of rows', 'parquet', 'pyarrow', 'pyarrow.parquet')
    with store.locked():
        count, width = store.count(), store.width()
        if not count:
            raise InputError(f'{store.path} has no segments; add a folder')
        schema = pa.schema([
            ('row', pa.int64()), ('file', pa.dictionary(pa.int32(), pa.string())),
            ('start', pa.float64()), ('end', pa.float64()),
            ('vector', pa.list_(pa.float32(), width)), ('background', pa.bool_())],
            dict(_facts_of(store), width=str(width)))
        background, place = draw_background(count), 0
        with atomic_write(path) as partial, pq.ParquetWriter(
                partial, schema, compression='zstd', use_dictionary=['file']) as writer:
            for paths, file_of, segments in _groups(store, width):
                rows = np.arange(place, place + len(file_of))
                place += len(rows)
                columns = (
                    rows, pa.DictionaryArray.from_arrays(file_of, paths),
                    segments.start, segments.end, pa.FixedSizeListArray.from_arrays(
                        segments.vectors.astype(np.float32).ravel(), width),
                    np.isin(rows, background))
                writer.write_table(pa.table(list(map(pa.array, columns)), schema))
            if place != count:
                raise store.damaged(f'{count - place} segments are of no file')
    if store.has_features():
        print_log(f'{store.path} is of a head that compares pairs: vectors alone are '
                  'exported, which find its windows and do not rank them', 'current')
    return count


def _facts_of(store: IndexStore) -> dict[str, str]:
    """Return what a file says of its index, all of whose files have one model."""
    found = {(record.model, record.model_name) for record in store.files().values()
             if record.reason is None}
    if len(found) > 1:
        names = ', '.join(f'{name} with {model}' for model, name in sorted(found))
        raise InputError(f'{store.path} has files of several models, {names}; index '
                         'its folders anew with reindex (--reindex)')
    settings = {name: store.settings.get(name) for name in ('window', 'split')}
    if not found or None in settings.values():
        raise store.damaged(f'its settings are {store.settings}, of files of '
                            f'{len(found)} models')
    (model, model_name), = found
    return dict(settings, version=str(FORMAT), model=model, model_name=model_name)


def _groups(store: IndexStore, width: int
            ) -> Iterator[tuple[list[str], np.ndarray, Segments]]:
    """Yield whole files with at least :data:`ROWS` segments together, as load does."""
    read, size, files = [], 0, store.listing()
    for number, (file, path, checksum) in enumerate(track(files), 1):
        _, segments = store.read(file, path, checksum)
        if len(segments.start):
            if segments.vectors.shape[1] != width:
                raise store.damaged(f'its segments of {path} have other sizes')
            read.append((path, segments))
            size += len(segments.start)
        if read and (size >= ROWS or number == len(files)):
            paths, parts = zip(*read)
            yield list(paths), np.repeat(
                np.arange(len(parts), dtype=np.int32),
                [len(part.start) for part in parts]), Segments(*(
                    np.concatenate([getattr(part, name) for part in parts])
                    for name in ('start', 'end', 'vectors')))
            read, size = [], 0
