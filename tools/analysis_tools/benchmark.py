#!/usr/bin/env python
"""Measure configs beside their un-clustered twins, in one process, in turns.

The two ratios that matter are those of time and of multiply-adds: a
clustering that costs nothing has them equal.
"""
import argparse
import json
from pathlib import Path

import torch
from mmengine.utils import track_iter_progress

import mmaction_centerclip  # noqa: F401
from mmaction_centerclip.apis import (
    check_outputs,
    clear_errors,
    positive,
    read_config,
    sampled_frames,
)
from mmaction_centerclip.apis.benchmark import (
    benchmark_pair,
    build_pair,
    build_stock,
    read_frames,
)

COLUMNS = {
    'GMACs': 'clustered/gmacs',
    'MAC ratio': 'mac_ratio',
    'ms/video': 'clustered/ms',
    'time ratio': 'time_ratio',
    'clustering': 'clustering_share',
    'videos/s': 'clustered/videos_per_s',
    'times stock': 'times_stock',
    'peak MiB': 'clustered/peak_mib',
    'step ms': 'clustered/step_ms',
    'step ratio': 'step_ms_ratio',
    'step times stock': 'step_times_stock',
    'step MiB': 'clustered/step_peak_mib',
    'step MiB ratio': 'step_peak_mib_ratio',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='+', help='configs with a neck')
    parser.add_argument(
        '--batch-sizes', type=positive, nargs='+', default=[1], help='videos a call')
    parser.add_argument(
        '--train-batch-size',
        type=int,
        default=0,
        help='videos of a training step; 0 for none')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument(
        '--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32')
    parser.add_argument(
        '--compile',
        action='store_true',
        help='torch.compile of the vision towers, not of the training step')
    parser.add_argument('--repeats', type=positive, default=7, help='timed calls')
    parser.add_argument(
        '--videos', help='folder of real clips; default: random pixels')
    parser.add_argument(
        '--stock',
        action='store_true',
        help="also measure MMAction2's CLIPSimilarity, ViT-B/32 as its config "
        'ships; needs openai-clip')
    parser.add_argument('--json', metavar='OUT', help='write all figures here')
    parser.add_argument('--plot', metavar='OUT', help='write the picture here')
    return parser.parse_args()


def measure(path: str, batch_size: int, args: argparse.Namespace) -> dict:
    """The figures of one config and batch size."""
    torch.manual_seed(0)
    cfg = read_config(path)
    model, twin = build_pair(cfg, args.device)
    count = max(batch_size, args.train_batch_size)
    size, frames = model.backbone.image_size[0], sampled_frames(cfg)
    if args.videos:
        imgs = read_frames(args.videos, count, frames, size)
    else:
        imgs = torch.randn(count, frames, 3, size, size)
    imgs = imgs.to(args.device)
    row = benchmark_pair(
        model,
        twin,
        imgs[:batch_size],
        getattr(torch, args.dtype),
        args.compile,
        args.repeats,
        train_imgs=imgs[:args.train_batch_size] if args.train_batch_size else None,
        stock=build_stock(args.device) if args.stock else None)
    return dict(config=Path(path).stem, **row)


def format_table(rows: list[dict]) -> str:
    """A line a row, with the columns that were measured."""
    columns = {title: key for title, key in COLUMNS.items() if key in rows[0]}
    lines = [['config', 'videos', *columns]]
    for row in rows:
        lines.append([' '.join(row['config'].split('_')[:2]),
                      str(row['videos']),
                      *(f'{row[key]:.3f}' for key in columns.values())])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join('  '.join(
        cell.rjust(width) for cell, width in zip(line, widths))
                     for line in lines)


def plot(rows: list[dict], path: str) -> None:
    """Time ratio against multiply-add ratio; the diagonal is perfect."""
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(5, 5))
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
    with clear_errors():
        check_outputs(args.json, args.plot)
        rows = [measure(path, size, args)
                for path, size in track_iter_progress(jobs)]
    device = args.device
    if device.startswith('cuda'):
        device = torch.cuda.get_device_name()
    print(f'\n{device}, {torch.get_num_threads()} CPU threads, {args.dtype}, '
          f'{"compiled" if args.compile else "eager"}, '
          f'{"frames of " + args.videos if args.videos else "random pixels"}, '
          f'torch {torch.__version__}')
    print(format_table(rows))
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))
    if args.plot:
        plot(rows, args.plot)


if __name__ == '__main__':
    main()
