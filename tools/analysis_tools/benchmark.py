#!/usr/bin/env python
"""Measure configs beside the same models without clustering, in turns.

The two ratios that matter are those of time and of multiply-adds: a
clustering that costs nothing has them equal.
"""
import argparse
import time
from pathlib import Path

import torch

from mmaction_centerclip.benchmarking import (
    benchmark_pair,
    build_mmaction2,
    build_pair,
    describe_machine,
    read_frames,
)
from mmaction_centerclip.cli import (
    check_outputs,
    exit_on_input_error,
    frame_size,
    positive_int,
    read_config,
    sampled_frames,
    torch_device,
    write_json,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.progress import track
from mmaction_centerclip.tables import format_table

COLUMNS = {
    'GMACs': 'clustered/gmacs',
    'MAC ratio': 'mac_ratio',
    'cold ms': 'clustered/cold_ms',
    'ms/video': 'clustered/ms',
    'time ratio': 'time_ratio',
    'time / MAC': 'time_over_macs',
    'clustering': 'clustering_share',
    'videos/s': 'clustered/videos_per_s',
    'times MMAction2': 'times_mmaction2',
    'peak MiB': 'clustered/peak_mib',
    'eval cold ms': 'clustered/eval_cold_ms',
    'eval ms/video': 'clustered/eval_ms',
    'eval ratio': 'eval_ms_ratio',
    'step cold ms': 'clustered/step_cold_ms',
    'step ms': 'clustered/step_ms',
    'step ratio': 'step_ms_ratio',
    'step times MMAction2': 'step_times_mmaction2',
    'step MiB': 'clustered/step_peak_mib',
    'step MiB ratio': 'step_peak_mib_ratio',
}


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='+', help='configs with a neck')
    parser.add_argument('--batch-sizes', type=positive_int, nargs='+', default=[1],
                        help='videos a call')
    parser.add_argument('--train-batch-size', type=int, default=0,
                        help='videos of a training step; 0 for none')
    parser.add_argument(
        '--evaluation', action='store_true',
        help='also measure an evaluation, from frames in memory to recalls')
    parser.add_argument(
        '--device', type=torch_device,
        default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    parser.add_argument(
        '--compile', action='store_true',
        help='torch.compile of the vision towers, wherever they are called')
    parser.add_argument(
        '--cpu-time', action='store_true',
        help='one thread, and its CPU time, which other programs do not add to')
    parser.add_argument('--repeats', type=positive_int, default=7, help='timed calls')
    parser.add_argument('--videos', help='folder of real clips; default: random pixels')
    parser.add_argument(
        '--mmaction2', action='store_true',
        help="also measure MMAction2's CLIPSimilarity, ViT-B/32 as its config "
        'ships; needs openai-clip')
    parser.add_argument('--stock', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--json', metavar='OUT', help='write all figures here')
    parser.add_argument('--plot', metavar='OUT', help='write the picture here')
    return parser.parse_args()


def measure(path: str, batch_size: int, args: argparse.Namespace) -> dict:
    """Measure one config at one batch size."""
    torch.manual_seed(0)
    cfg = read_config(path)
    model, unclustered = build_pair(cfg, args.device)
    count = max(batch_size, args.train_batch_size)
    size, frames = frame_size(cfg, model.backbone)[0], sampled_frames(cfg)
    if args.videos:
        imgs = read_frames(args.videos, count, frames, size)
    else:
        imgs = torch.randn(count, frames, 3, size, size)
    imgs = imgs.to(args.device)
    row = benchmark_pair(
        model, unclustered, imgs[:batch_size], getattr(torch, args.dtype), args.compile,
        args.repeats,
        train_imgs=imgs[:args.train_batch_size] if args.train_batch_size else None,
        mmaction2=build_mmaction2(args.device) if args.mmaction2 else None,
        evaluation=args.evaluation,
        clock=time.process_time if args.cpu_time else time.perf_counter)
    return dict(config=Path(path).stem, **row,
                time_over_macs=row['time_ratio'] / row['mac_ratio'])


def format_rows(rows: list[dict]) -> str:
    """Format a table of the columns that were measured."""
    columns = {title: key for title, key in COLUMNS.items() if key in rows[0]}
    return format_table(['config', 'videos', *columns], [
        [' '.join(row['config'].split('_')[:2]), row['videos'],
         *(f'{row[key]:.3f}' for key in columns.values())] for row in rows])


def plot(rows: list[dict], path: str) -> None:
    """Plot the time ratio against the multiply-add ratio, and the diagonal."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    top = max(1.0, *(row['time_ratio'] for row in rows)) + 0.05
    axes.plot([0.4, top], [0.4, top], color='gray', linewidth=1)
    for row in rows:
        axes.scatter(row['mac_ratio'], row['time_ratio'],
                     label=f'{row["config"].split("-res")[0]}, {row["videos"]}')
    axes.set(xlabel='multiply-add ratio', ylabel='time ratio',
             xlim=(0.4, top), ylim=(0.4, top))
    axes.legend(fontsize=6, title='config, videos a call')
    figure.savefig(path, dpi=150, bbox_inches='tight')


def main() -> None:
    args = parse_args()
    jobs = [(path, size) for path in args.config for size in args.batch_sizes]
    with exit_on_input_error():
        if args.stock:
            raise InputError('--stock is called --mmaction2 now, write that')
        if args.cpu_time:
            if args.device != 'cpu':
                raise InputError('--cpu-time is for --device cpu, got '
                                 f'{args.device}')
            torch.set_num_threads(1)
        check_outputs(args.json, args.plot)
        rows = [measure(*job, args) for job in track(jobs)]
    print(f'\n{describe_machine(args.device)}, {args.dtype}, '
          f'{"compiled" if args.compile else "eager"}, '
          f'{"CPU time, " if args.cpu_time else ""}'
          f'{"frames of " + args.videos if args.videos else "random pixels"}')
    print(format_rows(rows))
    with exit_on_input_error():
        write_json(rows, args.json)
    if args.plot:
        plot(rows, args.plot)


if __name__ == '__main__':
    main()
