"""Keep codes and times of an index's segments in files beside it, up to date."""
import contextlib
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import atomic_write

from .compressed import (
    AT_A_TIME,
    TRAINED_ON,
    Quantizer,
    checked,
    fine_words,
    forget_pages,
    packed_size,
    work_threads,
)
from .store import IndexStore

BLOCKS = '.rows'  # how the folder's name goes on
SEGMENTS = 262_144  # of a block, from where it takes no more files
TRAINED_AGAIN = 4  # when there are so many times as many segments
SAID_AFTER = 4  # blocks
_HEADER = 'header.npz'
_ARRAYS = 'rotation', 'centroids', 'finer'  # of the quantizer
File = tuple[int, str, int]  # number, path and checksum, see IndexStore.listing


class Block(NamedTuple):
    """Some segments: arrays, see :class:`RowBlocks`, and faiss's index of codes."""
    arrays: np.ndarray
    index: object


class RowBlocks:
    """The segments of an index, but for their vectors, in blocks beside it.

    A block's arrays are those of a file that is mapped into memory: ``files`` are key
    and number of segments of its files, see :func:`file_keys`; ``packed`` are the codes
    of their segments; ``start``, ``end``, ``row`` and ``checksum``, that of the vector,
    are one for each; ``finer`` are codes with checksums of their own, as a search reads
    some of them from the disk. The file is named by a checksum of the rest. Where files
    of the index were added, others' blocks are kept; where one is gone or another,
    those that share its block are encoded again. The folder can be deleted: what is
    missing, of other segments, or damaged but in finer codes, is made anew.
    """

    def __init__(self, store: IndexStore) -> None:
        # Once: each thread that asks the store opens the file for itself.
        self.store, self.width = store, store.width()
        self.folder = f'{store.path}{BLOCKS}'
        listing = store.listing()
        self.paths, self.keys = [path for _, path, _ in listing], file_keys(listing)
        self.quantizer: Quantizer | None = None
        self.blocks: dict[str, Block] = {}
        trained_for = self._read()
        if not len(self._new()):
            return
        count = store.count()
        if self.quantizer is None or count >= TRAINED_AGAIN * trained_for:
            self.quantizer, trained_for, self.blocks = self._train(count), count, {}
        # Those that a few files were put into, one time after another, become one.
        self.blocks = {name: block for name, block in self.blocks.items()
                       if len(block.arrays['start']) >= SEGMENTS // 2}
        left = count - self._segments()
        print_log(f'Compressing {left} segments for {self.folder}', 'current')
        with contextlib.suppress(OSError):
            os.mkdir(self.folder)
        for number, block in enumerate(self._encode(
                [listing[i] for i in self._new()]), 1):
            self.blocks |= self._write(block)
            if number % SAID_AFTER == 0:
                print_log(f'{left - count + self._segments()} of {left}', 'current')
        self._write_header(trained_for)

    def _new(self) -> np.ndarray:
        """Return which files are in no block, int64 (K, )."""
        return np.flatnonzero(~np.isin(self.keys, np.concatenate([
            np.empty(0, np.int64),
            *(block.arrays['files'][:, 0] for block in self.blocks.values())])))

    def _segments(self) -> int:
        return sum(len(block.arrays['start']) for block in self.blocks.values())

    def _read(self) -> int:
        """Read what the folder holds of the index; return for how many it was made."""
        try:
            with np.load(os.path.join(self.folder, _HEADER), allow_pickle=False
                         ) as file:
                arrays = [file[name] for name in _ARRAYS]
                schema, trained_for = file['schema'].tolist(), int(file['trained_for'])
                version, names = str(file['version']), file['names'].tolist()
            shapes = (self.width, self.width), *[(self.width // 2, 16, 2)] * 2
            if [(array.shape, array.dtype) for array in arrays] != [
                    (shape, np.float32) for shape in shapes]:
                raise ValueError('of other vectors')
            if version != _version() or schema != self.store.schema():
                raise ValueError('packed by another faiss, or of rows that are others')
        except Exception:  # A damaged file may raise anything.
            return 0
        self.quantizer, keys = Quantizer(*arrays), np.sort(self.keys)
        with work_threads() as threads:
            found = zip(names, threads.map(self._read_block, names))
            self.blocks = {name: block for name, block in found if block is not None
                           and _are_in(block.arrays['files'][:, 0], keys)}
        return trained_for

    def _read_block(self, name: str) -> Block | None:
        try:
            block = np.load(os.path.join(self.folder, name), 'r', allow_pickle=False)
            files, segments = len(block['files']), len(block['start'])
            if (block.dtype == block_type(files, segments, self.width)
                    and self._name(block) == name
                    and block['files'][:, 1].sum() == segments):
                return self._open_block(block)
        except Exception:  # A damaged file may raise anything.
            pass
        return None

    def _name(self, block: np.ndarray) -> str:
        """Return the checksum of all but the finer codes, and of what these are."""
        size = block.dtype.fields['finer'][1]
        checksum = zlib.crc32(self.quantizer.finer)
        return f'{zlib.crc32(block.reshape(1).view(np.uint8)[:size], checksum):08x}.npy'

    def _open_block(self, arrays: np.ndarray) -> Block:
        index = self.quantizer.open_pack(arrays['packed'], len(arrays['start']))
        forget_pages(arrays)
        return Block(arrays, index)

    def _train(self, count: int) -> Quantizer:
        last = self.store.last_row()
        drawn = TRAINED_ON * last // count  # Rows that were removed leave gaps.
        rows = np.arange(1, last + 1) if drawn >= last else np.unique(
            np.random.default_rng(0).integers(1, last, drawn, endpoint=True))
        size = 2 * self.width
        vectors = [vector for _, vector in self.store.vectors(rows)
                   if len(vector) == size]
        return Quantizer.train(np.frombuffer(bytearray().join(vectors), np.float16
                                             ).reshape(len(vectors), -1))

    def _encode(self, files: Sequence[File]) -> Iterator[np.ndarray]:
        """Yield blocks of files."""
        parts, vectors, codes = [], [], []
        segments = waiting = 0
        for file in files:
            rows, read = self.store.read(*file)
            if len(rows) and read.vectors.shape[1] != self.width:
                raise self.store.damaged(f'its segments of {file[1]} have other sizes')
            vectors.append(read.vectors.reshape(-1, self.width))
            parts.append((rows, read.start, read.end, np.array(
                [zlib.crc32(vector) for vector in read.vectors], np.uint32)))
            segments, waiting = segments + len(rows), waiting + len(rows)
            is_last = file is files[-1] or segments >= SEGMENTS
            if is_last or waiting >= AT_A_TIME:
                codes.append(self.quantizer.encode(np.concatenate(vectors)))
                vectors, waiting = [], 0
            if is_last:
                yield self._make_block(files[:len(parts)], parts, codes)
                files, parts, codes, segments = files[len(parts):], [], [], 0

    def _make_block(self, files: Sequence[File], parts: list[tuple],
                    codes: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        rows, start, end, checksum = map(np.concatenate, zip(*parts))
        codes, finer = map(np.concatenate, zip(*codes))
        block = np.zeros((), block_type(len(files), len(rows), self.width))
        counts = [len(own) for own, *_ in parts]
        for name, values in dict(
                files=np.stack([file_keys(files), counts], 1),
                packed=self.quantizer.pack(codes), start=start, end=end, row=rows,
                checksum=checksum, finer=checked(finer)).items():
            block[name] = values
        return block

    def _write(self, block: np.ndarray) -> dict[str, Block]:
        """Return a block as it is in its file; itself where none can be written."""
        name = self._name(block)
        try:
            with atomic_write(os.path.join(self.folder, name)) as partial:
                with open(partial, 'wb') as file:
                    np.save(file, block)
        except InputError:  # such as a folder that is only read, which the header tells
            return {name: self._open_block(block)}
        return {name: self._read_block(name) or self._open_block(block)}

    def _write_header(self, trained_for: int) -> None:
        """Write what names the blocks, and remove those that it does not name."""
        names = sorted(self.blocks)
        try:
            with atomic_write(os.path.join(self.folder, _HEADER)) as partial:
                with open(partial, 'wb') as file:
                    np.savez(file, **{name: getattr(self.quantizer, name)
                                      for name in _ARRAYS}, names=names,
                             schema=self.store.schema(), version=_version(),
                             trained_for=trained_for)
            for name in {*os.listdir(self.folder)} - {*names, _HEADER}:
                if name.endswith('.npy'):
                    os.remove(os.path.join(self.folder, name))
        except (InputError, OSError) as error:
            print_log(f'{error}; the next search makes it again', 'current',
                      logging.WARNING)


def _version() -> str:
    import faiss
    return faiss.__version__


def file_keys(files: Sequence[File]) -> np.ndarray:
    """Return a number for each file that is another if its segments are, int64."""
    numbers, checksums = (np.array([file[i] for file in files], np.int64)
                          for i in (0, 2))
    return (numbers << 32) + checksums


def block_type(files: int, segments: int, width: int) -> np.dtype:
    """Return the type of a block with so many files and segments."""
    packed, words = packed_size(segments, width), fine_words(-(-width // 4))
    return np.dtype([
        ('files', '<i8', (files, 2)), ('packed', 'u1', (packed, )),
        ('start', '<f8', (segments, )), ('end', '<f8', (segments, )),
        ('row', '<i8', (segments, )), ('checksum', '<u4', (segments, )),
        ('finer', '<u4', (segments, words))])


def _are_in(some: np.ndarray, ascending: np.ndarray) -> bool:
    places = np.searchsorted(ascending, some)
    return bool((places < len(ascending)).all() and (ascending[places] == some).all())
