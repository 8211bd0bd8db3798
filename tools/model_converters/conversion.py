"""What the converters' command lines share."""
import argparse
from collections.abc import Sequence
from pathlib import Path

from mmaction_centerclip.apis.conversion import (
    KINDS,
    convert_checkpoint,
    write_config,
)
from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.errors import InputError

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
        '--num-frames', type=int, help='frames of a video; default: 12')
    parser.add_argument(
        '--head-width',
        type=int,
        default=64,
        help='width of an attention head of the vision tower; default: 64')
    parser.add_argument(
        '--text-head-width', type=int, default=64, help='likewise of the text')
    parser.add_argument(
        '--no-quick-gelu',
        dest='quick_gelu',
        action='store_false',
        help='the activation is GELU, not the QuickGELU of OpenAI')
    return parser


def check_paths(args: argparse.Namespace) -> None:
    """Whether everything can be written, before anything is."""
    for path in filter(None, (args.dst, args.config)):
        if Path(path).exists():
            raise InputError(f'{path} exists already, choose another file')
        if not Path(path).parent.is_dir():
            raise InputError(f'{path}: there is no folder {Path(path).parent}')
    if args.config and not args.config.endswith('.py'):
        raise InputError(f'--config must name a .py file, got {args.config}')
    if args.config and not Path(args.base_config).is_file():
        raise InputError(f'--base-config: no such file: {args.base_config}')


def convert(args: argparse.Namespace,
            kinds: Sequence[str],
            necks: Sequence[dict] = (),
            num_blocks: int | None = None,
            layer_norm_eps: float = 1e-12) -> None:
    """Convert, and say what was left over."""
    with exit_on_input_error():
        check_paths(args)
        model, report = convert_checkpoint(
            args.src,
            args.dst,
            kinds,
            necks,
            num_blocks,
            layer_norm_eps,
            quick_gelu=args.quick_gelu,
            head_width=args.head_width,
            text_head_width=args.text_head_width)
        if args.config:
            write_config(model, args.base_config, args.config,
                         args.num_frames or 12)
    print(f'{args.src}: {KINDS[report["kind"]]}')
    for name, what in (('unused', 'keys of the file have no place'),
                       ('missing', 'keys of the model keep their start')):
        print(f'{len(report[name])} {what}'
              + ''.join(f'\n  {key}' for key in report[name]))
    print('Not in the weights, so assumed: attention heads of width '
          f'{args.head_width} and {args.text_head_width}, '
          f'{"QuickGELU" if args.quick_gelu else "GELU"}')
    print(f'Wrote {args.dst}' + (f' and {args.config}' if args.config else ''))
