#!/usr/bin/env python
"""Measure an index of random rows: adding, opening, searching, memory.

Uniform rows have all directions alike, the hardest for a search that does not compare
all. Clustered ones are as CLIP's: a vector that all share, films of --rows-of-a-file
rows around a vector of their own, and directions of falling variance.
"""
import argparse
import os
import resource
import tempfile
import time
from itertools import islice

from mmaction_centerclip import cli


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(
        description='Measure an index of random rows: adding, opening, searching')
    parser.add_argument('--rows', type=cli.positive_int, default=1_000_000)
    parser.add_argument('--dims', type=cli.positive_int, default=512)
    parser.add_argument('--kind', choices=['uniform', 'clustered'], default='clustered')
    parser.add_argument('--rows-of-a-file', type=cli.positive_int, default=100)
    parser.add_argument('--queries', type=cli.positive_int, default=50)
    parser.add_argument('--repeats', type=cli.positive_int, default=3)
    parser.add_argument('--threads', type=cli.positive_int, default=2)
    parser.add_argument('--index', metavar='FILE', help='keep the index, which a run '
                        'with more --rows adds to; default: a temporary one')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import numpy as np
import torch

from mmaction_centerclip.search.compressed import can_compress
from mmaction_centerclip.search.opening import open_table
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.segment_table import SegmentTable
from mmaction_centerclip.search.store import IndexStore
from mmaction_centerclip.utils.tables import format_bytes, format_seconds


class RowMaker:
    """Unit vectors of a kind, float32."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.rng = np.random.default_rng(0)
        self.dims, self.clustered = args.dims, args.kind == 'clustered'
        self.common = self.rng.standard_normal(args.dims, dtype=np.float32)
        scale = np.arange(1, args.dims + 1, dtype=np.float32)**-.35
        self.scale = scale / np.sqrt(np.square(scale).mean())

    def __call__(self, count: int) -> np.ndarray:
        """Return the rows of one film (count, dims)."""
        rows = self.rng.standard_normal((count, self.dims), dtype=np.float32)
        if self.clustered:
            film = self.rng.standard_normal(self.dims, dtype=np.float32)
            rows = .7 * self.scale * (rows + film) + self.common
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fill(store: IndexStore, args: argparse.Namespace, make: RowMaker) -> None:
    """Add rows as an index does, a transaction for each file; print how fast."""
    spent, there = 0., store.count()
    for first in range(there, args.rows, args.rows_of_a_file):
        start = np.arange(min(args.rows_of_a_file, args.rows - first), dtype=float)
        segments = Segments(start, start + 1, make(len(start)).astype(np.float16))
        began = time.perf_counter()
        store.put(f'{first:09}.mp4', FileRecord(0, 0, 'model', 'config.py'), segments)
        spent += time.perf_counter() - began
    print(f'{args.rows} {args.kind} rows of {args.dims} in files of '
          f'{args.rows_of_a_file}, {args.threads} threads\n'
          f'add {args.rows - there}: {(args.rows - there) / (spent or 1):.0f} rows a '
          f'second; {format_bytes(os.path.getsize(store.path))}', flush=True)


def best_rows(table: SegmentTable, queries: np.ndarray) -> np.ndarray:
    """Return the best 10 rows of each query, by float32 and all rows."""
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for part in np.array_split(np.arange(len(table)), 1 + len(table) // 65_536):
        more = queries @ table.segments.vectors[part].astype(np.float32).T
        scores = np.concatenate([scores, more], 1)
        rows = np.concatenate([rows, np.broadcast_to(part, more.shape)], 1)
        best = np.argpartition(scores, -10)[:, -10:]
        scores, rows = (np.take_along_axis(x, best, 1) for x in (scores, rows))
    return rows


def measure_search(table: SegmentTable, queries: np.ndarray, best: np.ndarray,
                   exact: bool, repeats: int, files: np.ndarray | None = None) -> None:
    """Print how long a search for 10 moments takes, and what rows it finds."""
    name, spent, found = 'all rows' if exact else 'compressed', [], []
    name += '' if files is None else f' of {files.mean():.0%} of the files'
    cpu = time.process_time()
    for query in np.concatenate([queries] * repeats):
        began = time.perf_counter()
        table.search(query, 10, -1., exact, files)
        spent.append(time.perf_counter() - began)
    cpu = (time.process_time() - cpu) / len(spent)
    for query, own in zip(queries, best):
        first = list(islice(table.rank(query, exact), 10))
        found.append(np.isin(own, first).mean())
    print(f'search, {name}: first {spent[0] * 1e3:.1f} ms, least '
          f'{min(spent) * 1e3:.1f} ms, median {np.median(spent) * 1e3:.1f} ms, 95% '
          f'within {np.quantile(spent, .95) * 1e3:.1f} ms, {cpu * 1e3:.1f} ms of '
          'processor time' + ('' if files is not None else
                              f'; of the best 10 rows in float32, {np.mean(found):.4f} '
                              'found'), flush=True)


def peak_memory() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(args: argparse.Namespace, path: str) -> None:
    torch.set_num_threads(args.threads)
    make, store = RowMaker(args), IndexStore(path, {})
    fill(store, args, make)
    queries = np.concatenate([make(1) for _ in range(args.queries)])
    if can_compress(args.dims):
        import faiss
        faiss.omp_set_num_threads(args.threads)
    before = peak_memory()

    def memory() -> str:
        return f'memory {format_bytes(peak_memory() - before)} more than before'

    for what in ('for the first time', 'again'):
        table = None  # so that there is one at a time
        began = time.perf_counter()
        table = open_table(store)
        print(f'open {what}: {format_seconds(time.perf_counter() - began)}; {memory()}',
              flush=True)
    for query in queries:
        table.search(query, 10, -1.)
    print(f'search {len(queries)} times: {memory()}', flush=True)
    best = best_rows(table, queries)
    if table.compressed is not None:
        measure_search(table, queries, best, False, args.repeats)
        half = np.arange(len(table.paths)) % 2 == 0
        measure_search(table, queries[:10], best, False, args.repeats, half)
    measure_search(table, queries[:2], best, True, 1)


def main(args: argparse.Namespace) -> None:
    with cli.exit_on_input_error(), tempfile.TemporaryDirectory() as folder:
        measure(args, args.index or os.path.join(folder, 'random.index'))


if __name__ == '__main__':
    main(ARGS)
