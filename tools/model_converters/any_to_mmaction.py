#!/usr/bin/env python
"""Convert a CLIP of any known source to a checkpoint of this project."""
import argparse
from collections.abc import Sequence
from pathlib import Path

from mmaction_centerclip.cli import check_outputs, exit_on_input_error, positive_int
from mmaction_centerclip.conversion import SOURCES, convert_checkpoint
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.homes import ToolParser

BASE = (Path(__file__).resolve().parents[2] / 'configs' / 'retrieval' / 'clip4clip'
        / 'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py')


def make_parser(description: str) -> argparse.ArgumentParser:
    """Make the parser of SRC, DST and the options of every converter."""
    parser = ToolParser(description=description)
    parser.add_argument('src', help='the file to convert')
    parser.add_argument('dst', help='the checkpoint to write')
    parser.add_argument(
        '--config', metavar='OUT', help='write a config of the model here')
    parser.add_argument(
        '--base-config', default=str(BASE),
        help='what gives the written config its data, schedule and runtime')
    parser.add_argument(
        '--num-frames', type=positive_int, help='frames of a video; default: 12')
    parser.add_argument(
        '--head-width', type=positive_int, default=64,
        help='width of an attention head of the vision tower; default: 64')
    parser.add_argument('--text-head-width', type=positive_int, default=64,
                        help='likewise of the text')
    parser.add_argument('--no-quick-gelu', dest='quick_gelu', action='store_false',
                        help='the activation is GELU, not the QuickGELU of OpenAI')
    return parser


def convert(args: argparse.Namespace, kinds: Sequence[str], necks: Sequence[dict] = (),
            **options) -> None:
    """Convert, and print what was left over."""
    with exit_on_input_error():
        check_outputs(args.dst, args.config)
        if args.config and not args.config.endswith('.py'):
            raise InputError(f'--config must name a .py file, got {args.config}')
        if args.config and not Path(args.base_config).is_file():
            raise InputError(f'--base-config: no such file: {args.base_config}')
        _, report = convert_checkpoint(
            args.src, args.dst, kinds, necks, config_file=args.config,
            base_config=args.base_config, num_frames=args.num_frames or 12,
            quick_gelu=args.quick_gelu, head_width=args.head_width,
            text_head_width=args.text_head_width, **options)
    print(f'{args.src}: {SOURCES[report["kind"]].title}')
    for name, what in (('unused', 'keys of the file have no place'),
                       ('missing', 'keys of the model keep their start')):
        print('\n  '.join([f'{len(report[name])} {what}', *report[name]]))
    print('Not in the weights, so assumed: attention heads of width '
          f'{args.head_width} and {args.text_head_width}, '
          f'{"QuickGELU" if args.quick_gelu else "GELU"}')
    print(f'Wrote {args.dst}' + (f' and {args.config}' if args.config else ''))


if __name__ == '__main__':
    convert(make_parser(__doc__).parse_args(), list(SOURCES))
