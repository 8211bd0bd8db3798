#!/usr/bin/env python
"""Time run-length tokens of real clips in a block, padded and packed.

On the CPU, with one thread and random weights; times are CPU time. How many
tokens a clip has is counted on the pixels of its patches.
"""
import argparse

# First: only then does mmaction take a newer mmcv.
import mmaction_centerclip  # noqa: F401

# isort: split
import torch
from torch.nn import functional as F

from mmaction_centerclip.benchmarking import describe_machine, read_windows
from mmaction_centerclip.benchmarking.packing import benchmark_packing
from mmaction_centerclip.cli import (
    check_outputs,
    exit_on_input_error,
    positive_int,
    write_json,
)
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.ops import run_lengths
from mmaction_centerclip.tables import format_table

SIZES = {'base': (224, 768, 12), 'tiny': (64, 128, 4)}  # pixels, width, heads
PATCH = 16


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('videos', help='folder of real clips')
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=[*SIZES],
                        help='of the block: ViT-B/16 of 224 x 224, or a tiny one')
    parser.add_argument('--clips', type=positive_int, default=8, help='clips a call')
    parser.add_argument('--frames', type=positive_int, default=12, help='of a clip')
    parser.add_argument('--threshold', type=float, default=.1,
                        help='how much a patch may change; default: 0.1')
    parser.add_argument('--repeats', type=positive_int, default=9, help='timed calls')
    parser.add_argument('--json', metavar='OUT', help='write all figures here')
    return parser.parse_args()


def measure(name: str, args: argparse.Namespace) -> dict:
    """Measure one size of block."""
    torch.manual_seed(0)
    pixels, width, heads = SIZES[name]
    clips = read_windows(args.videos, args.clips, args.frames, pixels).float()
    patches = F.unfold(clips.flatten(0, 1) / 255 - .5, PATCH, stride=PATCH).mT
    lengths = run_lengths(patches.unflatten(0, clips.shape[:2]), args.threshold)
    sizes = [size[size > 0] for size in lengths.flatten(1)]
    return dict(block=name, whole=lengths[0].numel(),
                **benchmark_packing(sizes, width, heads, args.repeats))


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    with exit_on_input_error():
        check_outputs(args.json)
        rows = [measure(name, args) for name in args.sizes]
        print(f'{describe_machine("cpu")}, {args.clips} clips of {args.frames} frames, '
              f'threshold {args.threshold}, milliseconds of CPU time')
        print(format_table(list(rows[0]), [
            [f'{x:.3g}' if isinstance(x, float) else x for x in row.values()]
            for row in rows]))
        write_json(rows, args.json)


if __name__ == '__main__':
    main()
