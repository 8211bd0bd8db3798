#!/usr/bin/env python
"""Time the stages of a config's data pipeline, beside MMAction2's on the same files.

In one process and in turns: MMAction2's own pipeline (decord), the config's on the
videos as they are, on videos compressed by tools/data/compress_videos.py (all-intra,
all frames), and from frame caches. All draw the same frames.
"""
import argparse
import math
import statistics
import tempfile
from pathlib import Path

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError

NAMES = ('stock', 'original', 'compressed', 'jpeg', 'raw')


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--videos', required=True, help='folder of video files')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='test')
    parser.add_argument('--pipelines', nargs='+', choices=NAMES, default=NAMES,
                        help='what to time beside each other')
    parser.add_argument('--short-side', type=cli.positive_int, default=224,
                        help='of the compressed videos')
    parser.add_argument('--repeats', type=cli.positive_int, default=9)
    parser.add_argument('--num-workers', type=int, nargs='*', default=[1],
                        help="of a data loader, whose wall time counts; none: don't")
    parser.add_argument('--batch-size', type=cli.positive_int, default=4)
    parser.add_argument('--rounds', type=cli.positive_int, default=8,
                        help='how often an epoch of the loader has each video')
    cli.add_device(parser)
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument('--model-ms', type=float,
                       help='milliseconds that the model takes for a video')
    speed.add_argument('--measure-model', action='store_true',
                       help="measure the config's model, with random weights")
    cli.add_cfg_options(parser)
    cli.add_figures_out(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmaction_centerclip.benchmarking as bench
from mmaction_centerclip.benchmarking.pipelines import (
    STAGES,
    Pipeline,
    loader_rates,
    read_samples,
    stock_pipeline,
    time_stages,
)
from mmaction_centerclip.datasets.compression import Compression, compress_video
from mmaction_centerclip.engine import launching
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.utils.pipelines import find_pipelines, step_type
from mmaction_centerclip.utils.tables import format_table


def find_steps(cfg: Config, split: str) -> list[dict]:
    """Find the pipeline of a split, with a cache, and complete the config."""
    steps = next(find_pipelines(cfg.get(f'{split}_dataloader')), None)
    if not steps or step_type(steps[0]) != 'VideoInit':
        raise InputError(f'{cfg.filename}: {split}_dataloader has no pipeline that '
                         'begins with VideoInit')
    # A cache is told how frames are resized.
    steps[0]['cache'] = steps[0].get('cache') or 'frames.db'
    prepare_config(cfg)
    return steps


def make_pipelines(steps: list[dict], args: argparse.Namespace,
                   folder: Path) -> list[Pipeline]:
    """Make the pipelines, and in a folder the files that they read."""
    files = list(map(str, bench.video_files(args.videos)))
    init = {k: v for k, v in steps[0].items() if k != 'cache'}
    resize = steps[0]['cache'].get('resize')
    pipelines = []
    for name in args.pipelines:
        own, found = [init, *steps[1:]], files
        if name == 'stock':
            own = stock_pipeline(steps)
        elif name == 'compressed':
            found = [str(folder / Path(file).name) for file in files]
            for source, target in zip(files, found):
                compress_video(source, target, Compression(
                    args.short_side, fps=0, all_intra=True))
        elif name in ('jpeg', 'raw'):
            own[0] = dict(init, cache=dict(
                path=str(folder / f'{name}.db'), codec=name, resize=resize))
        pipelines.append(Pipeline(name, own, found))
        if name in ('jpeg', 'raw'):
            for _ in read_samples(pipelines[-1]):
                pass
    return pipelines


def compare_frames(pipelines: list[Pipeline]) -> dict[str, dict]:
    """Compare frames' numbers with the first pipeline's, pixels with the original's."""
    frames = {pipeline.name: list(read_samples(pipeline)) for pipeline in pipelines}
    first = next(iter(frames.values()))
    result = {}
    for name, videos in frames.items():
        result[name] = dict(same_frames=[a[0] for a in videos] == [a[0] for a in first])
        if 'original' in frames and name != 'stock':
            differ = [(a[1].int() - b[1].int()).abs().float().mean().item()
                      for a, b in zip(videos, frames['original'])]
            result[name]['differ'] = sum(differ) / len(differ)
    return result


def model_ms(cfg: Config, args: argparse.Namespace) -> float:
    """Measure milliseconds a video: of a training step, or else of encoding it."""
    model, count = bench.build_model(cfg).to(args.device), args.batch_size
    size = bench.frame_size(cfg, model)[0]
    inputs = dict(imgs=torch.randn(
        count, bench.clip_frames(cfg), 3, size, size, device=args.device))
    make_call = bench.training_step if args.split == 'train' else bench.encoding
    times = bench.time_turns(dict(model=make_call(model, inputs)), 3)['model']
    return statistics.median(times) / count


def tables_of(report: dict) -> list[str]:
    rows, lines = report['pipelines'], []
    stages = [stage for stage in STAGES if any(row['ms'][stage] for row in rows)]
    for row in rows:
        total = row['ms']['total']
        line = {'CPU ms a sample': row['name'],
                **{stage: f'{row["ms"][stage]:.2f}' for stage in stages},
                'all': f'{total:.2f}', 'samples/s': f'{1e3 / total:.1f}',
                'same frames': 'yes' if row['same_frames'] else 'NO',
                'differ': f'{row["differ"]:.2f}' if 'differ' in row else ''}
        if 'times_stock' in row:
            line['times stock'] = f'{row["times_stock"]:.1f}'
        if report['model_ms']:
            line['workers to keep up'] = math.ceil(total / report['model_ms'])
        lines.append(line)
    tables = [format_table([*lines[0]], map(dict.values, lines))]
    tables.append(format_table(
        ['CPU ms of each video', *report['videos']],
        [[row['name'], *(f'{video["total"]:.2f}' for video in row['videos'])]
         for row in rows]))
    for workers, rates in report['loaders'].items():
        base = rates[rows[0]['name']]
        tables.append(format_table(
            [f'loader, {workers} workers', 'samples/s', f'times {rows[0]["name"]}'],
            [[name, f'{rate:.1f}', f'{rate / base:.1f}']
             for name, rate in rates.items()]))
    return tables


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    cli.check_outputs(args.out)
    cfg = launching.read_config(args.config, args.cfg_options)
    init_default_scope('mmaction')
    steps = find_steps(cfg, args.split)
    report = dict(config=Path(args.config).stem, split=args.split)
    with tempfile.TemporaryDirectory() as folder:
        pipelines = make_pipelines(steps, args, Path(folder))
        report['videos'] = [Path(file).name for file in pipelines[0].files]
        frames = compare_frames(pipelines)
        times = time_stages(pipelines, args.repeats, args.device)
        report['loaders'] = {str(count): loader_rates(
            pipelines, count, args.batch_size, args.rounds, max(args.repeats // 3, 1))
            for count in args.num_workers}
    rows = report['pipelines'] = []
    for pipeline in pipelines:
        videos = times[pipeline.name]
        mean = {stage: sum(video[stage] for video in videos) / len(videos)
                for stage in videos[0]}
        rows.append(dict(name=pipeline.name, ms=mean, videos=videos,
                         **frames[pipeline.name]))
        if rows[0]['name'] == 'stock':
            rows[-1]['times_stock'] = rows[0]['ms']['total'] / mean['total']
    report['model_ms'] = model_ms(cfg, args) if args.measure_model else args.model_ms
    report['machine'] = bench.describe_machine(args.device)
    print(f'{report["machine"]}, {len(report["videos"])} videos of {args.videos}, '
          f'{args.split}, medians of {args.repeats}')
    print('\n\n'.join(tables_of(report)))
    if report['model_ms']:
        print(f'\nThe model takes {report["model_ms"]:.2f} ms a video: data that take '
              'longer need as many workers as the last column says.')
    cli.write_json(report, args.out)


if __name__ == '__main__':
    main(ARGS)
