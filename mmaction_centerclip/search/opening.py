"""Open the segments of an index: all in memory, or those of a large one on the disk."""
import numpy as np

from mmaction_centerclip.errors import InputError

from .compressed import CompressedVectors, can_compress, forget_pages
from .records import Segments
from .row_blocks import RowBlocks
from .segment_table import CANDIDATES, COMPRESSED_FROM, SegmentTable
from .store import IndexStore
from .stored_vectors import StoredVectors


def open_table(store: IndexStore, exact: bool | None = None) -> SegmentTable:
    """Read the segments, those from :data:`COMPRESSED_FROM` on as compressed copies.

    Without faiss, all into memory; from :data:`CANDIDATES` on if not to be ``exact``.
    """
    can = can_compress(store.width())
    if exact is False and not can:
        raise InputError('exact=False needs faiss-cpu, which is not installed, and '
                         "features of even width: pip install 'faiss-cpu'")
    least = CANDIDATES + 1 if exact is False else COMPRESSED_FROM
    if can and store.count(least) >= least:
        return _open_stored(store)
    return SegmentTable(*store.load())


def _open_stored(store: IndexStore) -> SegmentTable:
    """Arrange what blocks hold by path and start."""
    found = RowBlocks(store)
    blocks, packs = zip(*(block for _, block in sorted(found.blocks.items())))
    keys, count = np.concatenate([block['files'] for block in blocks]).T
    order = np.argsort(found.keys)
    file = order[np.searchsorted(found.keys, keys, sorter=order)]
    counts = np.zeros(len(found.paths), np.int64)
    counts[file] = count
    # Of each segment in blocks, its number among all.
    first, total = np.cumsum(counts) - counts, counts.sum()
    whole = np.int32 if total < 2**31 else np.int64
    shift = (first[file] - (np.cumsum(count) - count)).astype(whole)
    numbers = np.repeat(shift, count) + np.arange(total, dtype=whole)

    def arranged(name: str, dtype: type = np.float64) -> np.ndarray:
        values, place = np.empty(len(numbers), dtype), 0
        for block in blocks:
            own = numbers[place:place + len(block[name])]
            place += len(own)
            first = own[0] if len(own) else 0  # They mostly follow each other.
            if (np.diff(own) == 1).all():
                own = slice(first, first + len(own))
            values[own] = block[name]
            forget_pages(block)
        return values

    rows = arranged('row', np.int32 if store.last_row() < 2**31 else np.int64)
    vectors = StoredVectors(store, rows, arranged('checksum', np.uint32), found.width)
    segments = Segments(arranged('start'), arranged('end'), vectors)
    file_of = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    # Copied, where the block is in memory, as it would stay there for them.
    finer = [block['finer'] if isinstance(block, np.memmap) else block['finer'].copy()
             for block in blocks]
    return SegmentTable(found.paths, file_of, segments, CompressedVectors(
        found.quantizer, packs, finer, numbers, found.folder))
