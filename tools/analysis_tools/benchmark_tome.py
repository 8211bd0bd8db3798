#!/usr/bin/env python
"""Time ToMe on a vision transformer of timm, beside the same without.

Throughput does not depend on the weights, which are random. The paper's own
(arXiv 2210.09461) is that of a GPU; the gain in time is to be compared with
the gain in multiply-adds.
"""
import argparse
import time
from functools import partial

# First: only then does mmaction take a newer mmcv.
import mmaction_centerclip  # noqa: F401

# isort: split
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.benchmarking import describe_machine
from mmaction_centerclip.benchmarking.measure import (
    count_macs,
    median_ratio,
    time_turns,
)
from mmaction_centerclip.cli import (
    check_outputs,
    exit_on_input_error,
    positive_int,
    torch_device,
    write_json,
)
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.tables import format_table


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default='vit_base_patch16_224',
                        help='a VisionTransformer of timm')
    parser.add_argument('--r', nargs='+', type=positive_int, default=[8, 13, 16],
                        help='tokens to merge in each block')
    parser.add_argument('--images', type=positive_int, default=8, help='of a call')
    parser.add_argument('--repeats', type=positive_int, default=9, help='timed calls')
    parser.add_argument('--device', type=torch_device, default='cpu')
    parser.add_argument('--json', metavar='OUT', help='write all figures here')
    return parser.parse_args()


def build_tower(name: str, r: int = 0) -> torch.nn.Module:
    """Build the tower, which merges r tokens in every block."""
    tower = MODELS.build(dict(type='TimmVisionTower', model_name=name)).eval()
    if not r:
        return tower
    blocks = [*range(1, len(tower.blocks) + 1)]
    return MODELS.build(dict(type='TimmVisionTower', model_name=name, necks=[
        dict(type='TokenMerging', before_block=blocks, r=r)])).eval()


def measure(args: argparse.Namespace) -> list[dict]:
    """Time each r in turns with the model that merges nothing."""
    torch.manual_seed(0)
    towers = {r: build_tower(args.model, r).to(args.device) for r in (0, *args.r)}
    images = torch.randn(args.images, 1, 3, *towers[0].image_size, device=args.device)
    calls = {r: partial(tower, images) for r, tower in towers.items()}
    macs = {r: count_macs(call) for r, call in calls.items()}
    clock = time.process_time if args.device == 'cpu' else time.perf_counter
    times = time_turns(calls, args.repeats, 2, clock)
    rows = []
    for r in towers:
        ratio = median_ratio(times[0], times[r])
        saved = macs[0] / macs[r]
        rows.append(dict(r=r, gmacs=macs[r] / args.images / 1e9, mac_gain=saved,
                         ms=sorted(times[r])[args.repeats // 2] / args.images,
                         time_gain=ratio, share=ratio / saved))
    return rows


def main() -> None:
    args = parse_args()
    if args.device == 'cpu':
        torch.set_num_threads(1)
    with exit_on_input_error():
        check_outputs(args.json)
        rows = measure(args)
        print(f'{describe_machine(args.device)}, {args.model}, {args.images} images a '
              'call' + (', CPU time of one thread' if args.device == 'cpu' else ''))
        print(format_table(
            ('r', 'GMACs an image', 'MAC gain', 'ms an image', 'time gain',
             'time / MAC gain'),
            [(row['r'], f'{row["gmacs"]:.2f}', f'{row["mac_gain"]:.3f}',
              f'{row["ms"]:.1f}', f'{row["time_gain"]:.3f}', f'{row["share"]:.3f}')
             for row in rows]))
        write_json(rows, args.json)


if __name__ == '__main__':
    main()
