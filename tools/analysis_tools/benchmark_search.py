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
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import numpy as np
import torch

from mmaction_centerclip.search.compressed import can_compress
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.segment_table import SegmentTable
from mmaction_centerclip.search.store import IndexStore
from mmaction_centerclip.utils.units import format_bytes, format_seconds


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


def fill(store: IndexStore, args: argparse.Namespace, make: RowMaker) -> float:
    """Add rows as an index does, a transaction for each file: seconds of that."""
    spent = 0.
    for first in range(0, args.rows, args.rows_of_a_file):
        start = np.arange(min(args.rows_of_a_file, args.rows - first), dtype=float)
        segments = Segments(start, start + 1, make(len(start)).astype(np.float16))
        began = time.perf_counter()
        store.put(f'{first:09}.mp4', FileRecord(0, 0, 'model', 'config.py'), segments)
        spent += time.perf_counter() - began
    return spent


def best_rows(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the best 10 rows of each query, by float32 and all rows."""
    scores = np.concatenate([part.astype(np.float32) @ queries.T for part in
                             np.array_split(vectors, 1 + len(vectors) // 65_536)])
    return np.stack([np.argpartition(x, -10)[-10:] for x in scores.T])


def measure_search(table: SegmentTable, queries: np.ndarray, best: np.ndarray,
                   exact: bool, repeats: int) -> None:
    """Print how long a search for 10 moments takes, and what rows it finds."""
    name, spent, found = 'all rows' if exact else 'compressed', [], []
    cpu = time.process_time()
    for query in np.concatenate([queries] * repeats):
        began = time.perf_counter()
        table.search(query, 10, -1., exact)
        spent.append(time.perf_counter() - began)
    cpu = (time.process_time() - cpu) / len(spent)
    for query, own in zip(queries, best):
        first = list(islice(table.rank(query, exact), 10))
        found.append(np.isin(own, first).mean())
    print(f'search, {name}: least {min(spent) * 1e3:.1f} ms, median '
          f'{np.median(spent) * 1e3:.1f} ms, 95% within '
          f'{np.quantile(spent, .95) * 1e3:.1f} ms, {cpu * 1e3:.1f} ms of processor '
          f'time; of the best 10 rows in float32, {np.mean(found):.4f} found',
          flush=True)


def measure(args: argparse.Namespace, path: str) -> None:
    torch.set_num_threads(args.threads)
    make, store = RowMaker(args), IndexStore(path, {})
    spent = fill(store, args, make)
    print(f'{args.rows} {args.kind} rows of {args.dims} in files of '
          f'{args.rows_of_a_file}, {args.threads} threads\n'
          f'add: {args.rows / spent:.0f} rows a second; '
          f'{format_bytes(os.path.getsize(path))}', flush=True)
    began = time.perf_counter()
    table = SegmentTable(*store.load(), f'{path}.rows.npz')
    print(f'open: {format_seconds(time.perf_counter() - began)}', flush=True)
    queries = np.concatenate([make(1) for _ in range(args.queries)])
    best = best_rows(table.segments.vectors, queries)
    if can_compress(table.segments.vectors):
        import faiss
        faiss.omp_set_num_threads(args.threads)
        for what in ('made', 'read'):
            table = SegmentTable(table.paths, table.file_of, table.segments,
                                 f'{path}.rows.npz')
            began = time.perf_counter()
            table.compressed.best(queries[0], 1)
            spent = format_seconds(time.perf_counter() - began)
            print(f'compressed rows {what}: {spent}; '
                  f'{format_bytes(os.path.getsize(f"{path}.rows.npz"))}', flush=True)
        measure_search(table, queries, best, False, args.repeats)
    measure_search(table, queries[:10], best, True, args.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f'memory: {format_bytes(peak)} at the peak, of which the vectors are '
          f'{format_bytes(table.segments.vectors.nbytes)}')


def main(args: argparse.Namespace) -> None:
    with cli.exit_on_input_error(), tempfile.TemporaryDirectory() as folder:
        measure(args, os.path.join(folder, 'random.index'))


if __name__ == '__main__':
    main(ARGS)
