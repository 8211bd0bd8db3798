#!/usr/bin/env python
"""Measure an index of random rows: adding, opening, searching, memory."""
import argparse
import os
import resource
import tempfile
import time

import numpy as np
import torch

from mmaction_centerclip.cli import exit_on_input_error, positive_int
from mmaction_centerclip.search.hits import (
    exact_scores,
    find_hits,
    no_match_threshold,
)
from mmaction_centerclip.search.store import FileRow, IndexStore, Segments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Measure an index of random rows: adding, opening, searching')
    parser.add_argument('--rows', type=positive_int, default=1_000_000)
    parser.add_argument('--dims', type=positive_int, default=512)
    parser.add_argument('--rows-of-a-file', type=positive_int, default=100)
    parser.add_argument('--queries', type=positive_int, default=20)
    parser.add_argument('--threads', type=positive_int, default=2)
    return parser.parse_args()


def random_rows(rng: np.random.Generator, count: int, dims: int) -> np.ndarray:
    """Return unit vectors, float32 (count, dims)."""
    rows = rng.standard_normal((count, dims), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fill(store: IndexStore, args: argparse.Namespace, rng: np.random.Generator) -> None:
    """Add random rows as an index does: a transaction for each file."""
    for first in range(0, args.rows, args.rows_of_a_file):
        count = min(args.rows_of_a_file, args.rows - first)
        start = np.arange(count, dtype=np.float64)
        vectors = random_rows(rng, count, args.dims).astype(np.float16)
        store.put(f'{first:09}.mp4', FileRow(0, 0, 'model', 'config.py'),
                  Segments(start, start + 1, vectors))


def measure(args: argparse.Namespace, path: str) -> None:
    """Print what is measured."""
    rng = np.random.default_rng(0)
    torch.set_num_threads(args.threads)
    store = IndexStore(path, {})
    began = time.perf_counter()
    fill(store, args, rng)
    spent = time.perf_counter() - began
    print(f'add: {args.rows / spent:.0f} rows a second, {args.rows} rows of '
          f'{args.dims} in files of {args.rows_of_a_file}; '
          f'{os.path.getsize(path) / 2**30:.2f} GiB')
    began = time.perf_counter()
    _, file_of, segments = store.load()
    print(f'open: {time.perf_counter() - began:.1f} s')
    spent, found = [], 0
    for query in random_rows(rng, args.queries, args.dims):
        began = time.perf_counter()
        scores = exact_scores(segments.vectors, query)
        _, median = no_match_threshold(scores)
        hits = find_hits(scores, file_of, segments, 10, -1., median)
        spent.append(time.perf_counter() - began)
        expected = np.concatenate([
            part.astype(np.float32) @ query
            for part in np.array_split(segments.vectors, 1 + args.rows // 4096)])
        best, own = (np.argsort(-x, kind='stable')[:10] for x in (expected, scores))
        found += np.isin(own, best).mean() * (len(hits) > 0)
    print(f'search: median {np.median(spent) * 1e3:.0f} ms, worst '
          f'{max(spent) * 1e3:.0f} ms, {args.threads} threads; of the best 10 rows in '
          f'float32, {found / args.queries:.3f} found')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'memory: {peak:.2f} GiB at the peak, of which the vectors are '
          f'{segments.vectors.nbytes / 2**30:.2f}')


def main() -> None:
    args = parse_args()
    with exit_on_input_error(), tempfile.TemporaryDirectory() as folder:
        measure(args, os.path.join(folder, 'random.index'))


if __name__ == '__main__':
    main()
