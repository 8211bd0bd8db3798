"""What the converters' command lines share."""
import argparse
from collections.abc import Sequence
from pathlib import Path

from mmaction_centerclip.apis import clear_errors
from mmaction_centerclip.apis.conversion import (
    KINDS,
    convert_checkpoint,
    write_config,
)

BASE = (Path(__file__).resolve().parents[2] / 'configs' / 'retrieval' / 'clip4clip'
        / 'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py')


def make_parser(description: str) -> argparse.ArgumentParser:
    """SRC, DST and the options of every converter to this project."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('src', help='the file to convert')
    parser.add_argument('dst', help='the checkpoint to write')
    parser.add_argument(
        '--config', metavar='OUT', help='write a config of the model here')
    parser.add_argument(
        '--base-config',
        default=str(BASE),
        help='what gives the written config its data, schedule and runtime')
    parser.add_argument(
        '--num-frames', type=int, default=12, help='frames of a video')
    parser.add_argument(
        '--no-quick-gelu',
        dest='quick_gelu',
        action='store_false',
        help='the activation is GELU, not the QuickGELU of OpenAI')
    return parser


def convert(args: argparse.Namespace,
            kinds: Sequence[str],
            necks: Sequence[dict] = ()) -> None:
    """Convert, and say what was left over."""
    with clear_errors():
        model, report = convert_checkpoint(args.src, args.dst, kinds, necks,
                                           args.quick_gelu)
        if args.config:
            write_config(model, args.base_config, args.config, args.num_frames)
    print(f'{args.src}: {KINDS[report["kind"]]}')
    for name, what in (('unused', 'keys of the file have no place'),
                       ('missing', 'keys of the model keep their start')):
        print(f'{len(report[name])} {what}'
              + ''.join(f'\n  {key}' for key in report[name]))
    print(f'Wrote {args.dst}' + (f' and {args.config}' if args.config else ''))
