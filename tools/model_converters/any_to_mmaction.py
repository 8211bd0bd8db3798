#!/usr/bin/env python
"""Convert a CLIP of any known source to a checkpoint of this project.

CenterCLIP's weights do not tell where the tokens were clustered, unless they
hold a cluster embedding. Say it either as CenterCLIP does, with the frames (and
tokens) inside each block, or by the blocks before which to cluster:

    any_to_mmaction.py SRC --out FILE --num-centers 49 --before-block 7 --num-segments 3
    any_to_mmaction.py SRC --out FILE --num-centers 49 --frames 12,12,12,12,12,12,3,3,3
"""
import argparse
from pathlib import Path

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError

BASE = (Path(__file__).resolve().parents[2] / 'configs' / 'retrieval' / 'clip4clip'
        / 'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py')

NECKS = dict(
    kmedoids='TokenClustering',
    spectral='SpectralTokenClustering',
    pooling='SegmentMeanPooling',
    sparse_sampling='SparseTokenSampling',
    temporal_shift='TemporalShift',
    token_shift='TokenShift')

# Options that go as they are to a neck that takes them.
NECK_OPTIONS = dict(
    distance=dict(choices=['euclidean', 'cosine']),
    p=dict(type=float, help='order of the Minkowski distance; default: 2'),
    pre_norm=dict(action='store_const', const=True, help='cluster unit length tokens'),
    aggregation=dict(choices=['medoid', 'mean']),
    max_iters=dict(type=int, help='default: 100'),
    tol=dict(type=float, help='default: 1e-6'),
    graph=dict(choices=['knn', 'heat']),
    sigma=dict(type=float, help='default: 2'),
    knn=dict(type=int, help='neighbours in the graph'),
    spatial_kernel=dict(type=int),
    temporal_kernel=dict(type=int))

Place = tuple[int, int, int | None]
"""Block in front of which to cluster, segments and, if known, centers."""


def integers(text: str) -> list[int]:
    return [int(number) for number in text.split(',')]


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='the file to convert')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='the checkpoint to write')
    parser.add_argument('--write-config', metavar='FILE',
                        help='write a config of the model too')
    parser.add_argument(
        '--base-config', default=str(BASE),
        help='what gives the written config its data, schedule and runtime')
    parser.add_argument(
        '--num-frames', type=cli.positive_int, help='frames of a video; default: 12')
    parser.add_argument(
        '--head-width', type=cli.positive_int, default=64,
        help='width of an attention head of the vision tower; default: 64')
    parser.add_argument('--text-head-width', type=cli.positive_int, default=64,
                        help='likewise of the text')
    parser.add_argument('--no-quick-gelu', dest='quick_gelu', action='store_false',
                        help='the activation is GELU, not the QuickGELU of OpenAI')
    parser.add_argument('--necks-of', metavar='CONFIG', help='a config whose necks the '
                        'model has, such as that of a TempMe')
    center = parser.add_argument_group('of a CenterCLIP')
    center.add_argument('--centerclip', action='store_true',
                        help="its head has CenterCLIP's layer norms; implied by the "
                        'options below')
    for name, what in (
            ('--frames', 'frames inside each block'),
            ('--tokens', 'tokens of a frame inside each block'),
            ('--before-block', 'blocks in front of which to cluster, from 1'),
            ('--num-segments', 'segments, one a clustering'),
            ('--num-centers', 'centers, one a clustering or one for all')):
        center.add_argument(name, type=integers, help=what)
    center.add_argument('--algorithm', choices=NECKS, help='default: kmedoids')
    for name, options in NECK_OPTIONS.items():
        center.add_argument(f'--{name.replace("_", "-")}', **options)
    args = parser.parse_args()
    args.centerclip |= any(getattr(args, name) is not None for name in (
        'frames', 'tokens', 'before_block', 'num_segments', 'num_centers',
        'algorithm', *NECK_OPTIONS))
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmengine.config import Config

from mmaction_centerclip.conversion import SOURCES, convert_checkpoint
from mmaction_centerclip.models import necks
from mmaction_centerclip.utils.option_types import init_options


def neck_places(args: argparse.Namespace) -> list[Place]:
    """Return where to cluster, as either set of options says it."""
    blocks, segments = args.before_block or [], args.num_segments or []
    if args.frames is None:
        if args.tokens is not None:
            raise InputError('--tokens goes with --frames')
        if len(blocks) != len(segments):
            raise InputError('give as many --num-segments as --before-block, got '
                             f'{segments} for {blocks}')
        found = [(*place, None) for place in zip(blocks, segments)]
    elif blocks or segments:
        raise InputError('--frames stands for --before-block and --num-segments, '
                         'give one or the other')
    else:
        found = places_from_frames(args.num_frames, args.frames, args.tokens)
    centers = args.num_centers or [None]
    if len(centers) == 1 and found:
        centers = centers * len(found)
    if args.num_centers and len(centers) != len(found):
        raise InputError('give one --num-centers, or as many as clusterings, got '
                         f'{centers} for {len(found)}')
    return [(block, segments, given or listed)
            for (block, segments, listed), given in zip(found, centers)]


def places_from_frames(num_frames: int | None, frames: list[int],
                       tokens: list[int] | None) -> list[Place]:
    """Return the places where frames or tokens inside the blocks get fewer."""
    tokens = tokens or [None] * len(frames)
    if len(tokens) != len(frames):
        raise InputError('--tokens must have an entry a block as --frames has, '
                         f'got {len(tokens)} and {len(frames)}')
    last, found = (num_frames or frames[0], tokens[0]), []
    for block, now in enumerate(zip(frames, tokens), start=1):
        if now[0] < 1 or last[0] % now[0]:
            raise InputError('--frames may only drop to a divisor, got '
                             f'{last[0]} and then {now[0]} at block {block}')
        if now != last:
            found.append((block, *now))
        last = now
    return found


def make_necks(args: argparse.Namespace) -> list[dict]:
    if args.necks_of is not None:
        if args.centerclip:
            raise InputError(f'--necks-of {args.necks_of} says all of the necks; give '
                             'no options of a CenterCLIP beside it')
        model = Config.fromfile(args.necks_of).get('model', {})
        return list(model.get('backbone', {}).get('necks', ()))
    algorithm = args.algorithm or 'kmedoids'
    kind = NECKS[algorithm]
    taken = init_options(getattr(necks, kind))
    options = {name: getattr(args, name) for name in NECK_OPTIONS
               if getattr(args, name) is not None}
    if other := [name for name in options if name not in taken]:
        raise InputError(f'--{other[0].replace("_", "-")} does not go with '
                         f'--algorithm {algorithm}')
    configs = []
    for block, segments, centers in neck_places(args):
        sizes = dict(num_segments=segments, num_centers=centers)
        sizes = {name: value for name, value in sizes.items()
                 if value is not None and name in taken}
        configs.append(dict(type=kind, before_block=block, **options, **sizes))
    return configs


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    cli.check_outputs(args.out, args.write_config)
    if args.write_config and not args.write_config.endswith('.py'):
        raise InputError(f'--config must name a .py file, got {args.write_config}')
    if args.write_config and not Path(args.base_config).is_file():
        raise InputError(f'--base-config: no such file: {args.base_config}')
    _, report = convert_checkpoint(
        args.checkpoint, args.out, ['clip4clip', 'openai'] if args.centerclip else
        list(SOURCES), make_necks(args), config_file=args.write_config,
        base_config=args.base_config,
        num_frames=args.num_frames or (args.frames or [12])[0],
        num_blocks=args.frames and len(args.frames),
        layer_norm_eps=1e-5 if args.centerclip else 1e-12, quick_gelu=args.quick_gelu,
        head_width=args.head_width, text_head_width=args.text_head_width)
    print(f'{args.checkpoint}: {SOURCES[report["kind"]].title}')
    for name, what in (('unused', 'keys of the file have no place'),
                       ('missing', 'keys of the model keep their start')):
        print('\n  '.join([f'{len(report[name])} {what}', *report[name]]))
    print('Not in the weights, so assumed: attention heads of width '
          f'{args.head_width} and {args.text_head_width}, '
          f'{"QuickGELU" if args.quick_gelu else "GELU"}, the layer norms and '
          f'necks of a {"CenterCLIP" if args.centerclip else "CLIP4Clip"}')
    print('Wrote', ' and '.join(filter(None, (args.out, args.write_config))))


if __name__ == '__main__':
    main(ARGS)
