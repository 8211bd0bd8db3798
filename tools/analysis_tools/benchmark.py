#!/usr/bin/env python
"""Measure configs beside the same models without necks, in turns.

Configs are of retrievers, of recognisers, which are measured beside the zoo's own
backbone too, or of nothing but a video tower. The two ratios that matter are those of
time and of multiply-adds: a reducer that costs nothing has them equal.
"""
import argparse
import time
from pathlib import Path

import torch
from mmengine.config import DictAction

from mmaction_centerclip.benchmarking import (
    PRICES,
    build_pair,
    check_cpu_time,
    clip_frames,
    describe_machine,
    frame_size,
    measure_pair,
    normalized,
    read_clips,
    zoo_backbone,
)
from mmaction_centerclip.cli import (
    check_outputs,
    exit_on_input_error,
    positive_int,
    read_config,
    torch_device,
    write_json,
)
from mmaction_centerclip.utils.homes import ToolParser
from mmaction_centerclip.utils.progress import track
from mmaction_centerclip.utils.tables import format_table

COLUMNS = {
    'GMACs': 'gmacs', 'MAC ratio': 'mac_ratio', 'cold ms': 'cold_ms', 'ms/video': 'ms',
    'without': 'twin_ms', 'time ratio': 'time_ratio', 'time / MAC': 'time_over_macs',
    "the zoo's ms": 'zoo_ms', "without / zoo's": 'zoo_ratio', 'MiB': 'mib',
    'MiB ratio': 'mib_ratio', 'eval cold ms': 'eval_cold_ms', 'eval ms': 'eval_ms',
    'eval ratio': 'eval_ratio', 'step cold ms': 'step_cold_ms', 'step ms': 'step_ms',
    'step ratio': 'step_ratio', 'step MiB': 'step_mib',
    'step MiB ratio': 'step_mib_ratio'}


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='+', help='configs with a neck')
    parser.add_argument('--batch-sizes', type=positive_int, nargs='+', default=[1],
                        help='videos a call')
    parser.add_argument(
        '--price', nargs='+', choices=PRICES, default=[],
        help="what to measure beside the tower, of retrievers: the evaluation, from "
        'frames in memory to recalls, and the whole training step')
    parser.add_argument(
        '--device', type=torch_device,
        default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    parser.add_argument('--compile', action='store_true',
                        help='torch.compile of the encoding, wherever it is called')
    parser.add_argument(
        '--cpu-time', action='store_true',
        help='one thread, and its CPU time, which other programs do not add to')
    parser.add_argument('--repeats', type=positive_int, default=15, help='timed calls')
    parser.add_argument('--videos', help='folder of real clips; default: random pixels')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='override settings of all configs, as key=value')
    parser.add_argument('--json', metavar='OUT', help='write all figures here')
    return parser.parse_args()


def measure(path: str, batch_size: int, args: argparse.Namespace) -> dict:
    """Measure one config at one batch size."""
    torch.manual_seed(0)
    cfg = read_config(path)
    cfg.merge_from_dict(args.cfg_options)
    model, twin = build_pair(cfg, args.device)
    size, frames = frame_size(cfg, model)[0], clip_frames(cfg)
    if args.videos:
        imgs = normalized(read_clips(args.videos, batch_size, frames, size, 2 * frames))
    else:
        imgs = torch.randn(batch_size, frames, 3, size, size)
    row = measure_pair(
        model, twin, dict(imgs=imgs.to(args.device)), ['tower', *args.price],
        args.repeats, time.process_time if args.cpu_time else time.perf_counter,
        zoo=zoo_backbone(cfg, twin), dtype=getattr(torch, args.dtype),
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


def main() -> None:
    args = parse_args()
    jobs = [(path, size) for path in args.config for size in args.batch_sizes]
    with exit_on_input_error():
        if args.cpu_time:
            torch.set_num_threads(1)
            check_cpu_time(args.device)
        check_outputs(args.json)
        rows = [measure(*job, args) for job in track(jobs)]
        print(f'\n{describe_machine(args.device)}, {args.dtype}, '
              f'{"compiled" if args.compile else "eager"}, '
              f'{"CPU time, " if args.cpu_time else ""}'
              f'{"frames of " + args.videos if args.videos else "random pixels"}')
        print(format_rows(rows))
        write_json(rows, args.json)


if __name__ == '__main__':
    main()
