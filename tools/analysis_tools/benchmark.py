#!/usr/bin/env python
"""Measure configs beside the same models without necks, in turns.

Configs are of retrievers, of recognisers, beside the zoo's own backbone too, or of
video towers. A reducer that costs nothing has equal ratios of time and multiply-adds.
"""
import argparse
import itertools
import time
from pathlib import Path

from mmaction_centerclip import cli
from mmaction_centerclip.utils.progress import track

COLUMNS = {
    'GMACs': 'gmacs', 'MAC ratio': 'mac_ratio', 'cold ms': 'cold_ms', 'ms/video': 'ms',
    'without': 'twin_ms', 'time ratio': 'time_ratio', 'time / MAC': 'time_over_macs',
    "the zoo's ms": 'zoo_ms', "without / zoo's": 'zoo_ratio', 'MiB': 'mib',
    'MiB ratio': 'mib_ratio', 'eval cold ms': 'eval_cold_ms', 'eval ms': 'eval_ms',
    'eval ratio': 'eval_ratio', 'step cold ms': 'step_cold_ms', 'step ms': 'step_ms',
    'step ratio': 'step_ratio', 'step MiB': 'step_mib',
    'step MiB ratio': 'step_mib_ratio'}


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='+', help='configs with a neck')
    parser.add_argument('--batch-sizes', type=cli.positive_int, nargs='+', default=[1],
                        help='videos a call')
    parser.add_argument(
        '--price', nargs='+', choices=['evaluation', 'step'], default=[],
        help="what to measure beside the tower, of retrievers: the evaluation, from "
        'frames in memory to recalls, and the whole training step')
    cli.add_device(parser)
    parser.add_argument(
        '--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    parser.add_argument('--compile', action='store_true',
                        help='torch.compile of the encoding, wherever it is called')
    parser.add_argument(
        '--cpu-time', action='store_true',
        help='one thread, and its CPU time, which other programs do not add to')
    parser.add_argument('--repeats', type=cli.positive_int, default=15,
                        help='timed calls')
    parser.add_argument('--videos', help='folder of real clips; default: random pixels')
    cli.add_cfg_options(parser)
    cli.add_figures_out(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import torch

import mmaction_centerclip.benchmarking as bench
from mmaction_centerclip.engine import launching
from mmaction_centerclip.utils.tables import format_table


def measure(path: str, batch_size: int, args: argparse.Namespace) -> dict:
    """Measure one config at one batch size."""
    torch.manual_seed(0)
    cfg = launching.read_config(path, args.cfg_options)
    model, twin = bench.build_pair(cfg, args.device)
    size, frames = bench.frame_size(cfg, model)[0], bench.clip_frames(cfg)
    if args.videos:
        imgs = bench.normalized(bench.read_clips(
            args.videos, batch_size, frames, size, 2 * frames))
    else:
        imgs = torch.randn(batch_size, frames, 3, size, size)
    row = bench.measure_pair(
        model, twin, dict(imgs=imgs.to(args.device)), ['tower', *args.price],
        args.repeats, time.process_time if args.cpu_time else time.perf_counter,
        zoo=bench.zoo_backbone(cfg, twin), dtype=getattr(torch, args.dtype),
        backend='inductor' if args.compile else None)
    return dict(config=Path(path).stem, videos=batch_size, **row,
                time_over_macs=row['time_ratio'] / row['mac_ratio'])


def format_rows(rows: list[dict]) -> str:
    """Format a table of the columns that were measured."""
    columns = {title: key for title, key in COLUMNS.items()
               if any(key in row for row in rows)}
    return format_table(['config', 'videos', *columns], [
        [' '.join(row['config'].split('_')[:2]), row['videos'],
         *(f'{row[key]:.3f}' if key in row else '' for key in columns.values())]
        for row in rows])


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    if args.cpu_time:
        torch.set_num_threads(1)
        bench.check_cpu_time(args.device)
    cli.check_outputs(args.out)
    rows = [measure(path, size, args) for path, size in track(
        list(itertools.product(args.config, args.batch_sizes)))]
    print(f'\n{bench.describe_machine(args.device)}, {args.dtype}, '
          f'{"compiled" if args.compile else "eager"}, '
          f'{"CPU time, " if args.cpu_time else ""}'
          f'{"frames of " + args.videos if args.videos else "random pixels"}')
    print(format_rows(rows))
    cli.write_json(rows, args.out)


if __name__ == '__main__':
    main(ARGS)
