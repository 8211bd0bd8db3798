#!/usr/bin/env python
"""Measure recognisers' backbones beside the same without necks, and the zoo's.

On the CPU, with one thread and random weights; times are CPU time.
"""
import argparse
from pathlib import Path

import torch

from mmaction_centerclip.benchmarking import (
    benchmark_backbones,
    build_backbones,
    describe_machine,
    read_frames,
)
from mmaction_centerclip.cli import (
    check_outputs,
    exit_on_input_error,
    positive_int,
    read_config,
    write_json,
)
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.progress import track
from mmaction_centerclip.tables import format_table

COLUMNS = {
    'GMACs': 'clustered/gmacs',
    'ms': 'clustered/ms',
    'without necks, ms': 'unclustered/ms',
    'stock, ms': 'stock/ms',
    'MAC ratio': 'mac_ratio',
    'time ratio': 'time_ratio',
    'without necks / stock': 'host_ratio',
}


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='+', help="recognisers' configs with a neck")
    parser.add_argument('--batch-size', type=positive_int, default=1,
                        help='clips a call')
    parser.add_argument('--repeats', type=positive_int, default=7, help='timed calls')
    parser.add_argument('--videos', help='folder of real clips; default: random pixels')
    parser.add_argument('--json', metavar='OUT', help='write all figures here')
    return parser.parse_args()


def measure(path: str, args: argparse.Namespace) -> dict:
    """Measure one config."""
    torch.manual_seed(0)
    cfg = read_config(path)
    models = build_backbones(cfg)
    options = cfg.model.backbone
    size = options.get('img_size', options.get('input_resolution', 224))
    frames = options.get('num_frames', options.get('t_size', 16))
    if args.videos:
        imgs = read_frames(args.videos, args.batch_size, frames, size)
    else:
        imgs = torch.randn(args.batch_size, frames, 3, size, size)
    row = benchmark_backbones(models, imgs.transpose(1, 2), args.repeats)
    return dict(config=Path(path).stem, **row)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    with exit_on_input_error():
        check_outputs(args.json)
        rows = [measure(path, args) for path in track(args.config)]
    print(f'\n{describe_machine("cpu")}, {args.batch_size} clips a call, '
          f'{"frames of " + args.videos if args.videos else "random pixels"}')
    print(format_table(['config', *COLUMNS], [
        [row['config'].split('_kinetics')[0],
         *(f'{row[key]:.3f}' for key in COLUMNS.values())] for row in rows]))
    with exit_on_input_error():
        write_json(rows, args.json)


if __name__ == '__main__':
    main()
