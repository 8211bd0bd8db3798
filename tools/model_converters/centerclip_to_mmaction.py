#!/usr/bin/env python
"""Convert a CenterCLIP checkpoint to a checkpoint of this project.

The weights do not tell where the tokens were clustered, unless they hold a
cluster embedding. Say it either as CenterCLIP does, with the frames (and
tokens) inside each block, or by the blocks before which to cluster:

    centerclip_to_mmaction.py SRC DST --frames 12,12,12,12,12,12,3,3,3,3,3,3 \
        --num-centers 49
    centerclip_to_mmaction.py SRC DST --before-block 7 --num-segments 3 \
        --num-centers 49
"""
import argparse

from conversion import convert, make_parser

from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.errors import InputError

TYPES = dict(
    kmedoids='TokenClustering',
    spectral='SpectralTokenClustering',
    pooling='SegmentMeanPooling',
    sparse_sampling='SparseTokenSampling',
    temporal_shift='TemporalShift',
    token_shift='TokenShift')

# Options that go to the neck as they are, for the algorithms that know them.
NECK_OPTIONS = dict(
    kmedoids=('distance', 'p', 'pre_norm', 'max_iters', 'tol', 'aggregation'),
    spectral=('graph', 'sigma', 'knn', 'spatial_kernel', 'temporal_kernel', 'p',
              'max_iters', 'tol', 'aggregation'))


def integers(text: str) -> list[int]:
    return [int(number) for number in text.split(',')]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument(
        '--frames', type=integers, help='frames inside each block')
    parser.add_argument(
        '--tokens', type=integers, help='tokens of a frame inside each block')
    parser.add_argument(
        '--before-block',
        type=integers,
        help='blocks in front of which to cluster, from 1')
    parser.add_argument(
        '--num-segments', type=integers, help='segments, one a clustering')
    parser.add_argument(
        '--num-centers',
        type=integers,
        help='centers, one a clustering or one for all')
    parser.add_argument(
        '--algorithm', choices=list(TYPES), default='kmedoids')
    parser.add_argument('--distance', choices=['euclidean', 'cosine'])
    parser.add_argument(
        '--p', type=float, help='order of the Minkowski distance; default: 2')
    parser.add_argument(
        '--pre-norm', action='store_const', const=True,
        help='cluster unit length tokens')
    parser.add_argument('--aggregation', choices=['medoid', 'mean'])
    parser.add_argument('--max-iters', type=int, help='default: 100')
    parser.add_argument('--tol', type=float, help='default: 1e-6')
    parser.add_argument('--graph', choices=['knn', 'heat'])
    parser.add_argument('--sigma', type=float, help='default: 2')
    parser.add_argument('--knn', type=int, help='neighbours in the graph')
    parser.add_argument('--spatial-kernel', type=int)
    parser.add_argument('--temporal-kernel', type=int)
    return parser.parse_args()


def places(args: argparse.Namespace) -> list[tuple[int, int, int | None]]:
    """Block, segments and centers of each clustering."""
    if args.frames is not None:
        if args.before_block or args.num_segments:
            raise InputError('--frames stands for --before-block and '
                             '--num-segments, give one or the other')
        return from_lists(args)
    if args.tokens is not None:
        raise InputError('--tokens goes with --frames')
    blocks, segments = args.before_block or [], args.num_segments or []
    if args.num_centers and not blocks:
        raise InputError('--num-centers needs --frames or --before-block')
    centers = args.num_centers or [None]
    if len(centers) == 1:
        centers = centers * len(blocks)
    if not len(blocks) == len(segments) == len(centers):
        raise InputError(
            'give as many --num-segments and --num-centers as --before-block, '
            f'got {segments} and {centers} for {blocks}')
    return list(zip(blocks, segments, centers))


def from_lists(args: argparse.Namespace) -> list[tuple[int, int, int | None]]:
    """Where the frames or tokens inside the blocks get fewer."""
    frames = [args.num_frames or args.frames[0], *args.frames]
    tokens = args.tokens or [None] * len(args.frames)
    if len(tokens) != len(args.frames):
        raise InputError('--tokens must have an entry a block as --frames has, '
                         f'got {len(tokens)} and {len(args.frames)}')
    tokens = [tokens[0], *tokens]
    found = []
    for block in range(1, len(frames)):
        before, after = frames[block - 1], frames[block]
        if after < 1 or before % after:
            raise InputError('--frames may only drop to a divisor, got '
                             f'{before} and then {after} at block {block}')
        if (before, tokens[block - 1]) != (after, tokens[block]):
            found.append((block, after, tokens[block]))
    centers = args.num_centers or [None]
    if len(centers) == 1:
        centers = centers * len(found)
    if len(centers) != len(found):
        raise InputError(f'--frames tells {len(found)} clusterings, got '
                         f'--num-centers {centers}')
    return [(block, segments, given or listed)
            for (block, segments, listed), given in zip(found, centers)]


def make_necks(args: argparse.Namespace) -> list[dict]:
    """The necks' configs."""
    options = {}
    known = NECK_OPTIONS.get(args.algorithm, ())
    for name in sorted(set().union(*NECK_OPTIONS.values())):
        value = getattr(args, name)
        if value is not None and name not in known:
            raise InputError(f'--{name.replace("_", "-")} does not go with '
                             f'--algorithm {args.algorithm}')
        if value is not None:
            options[name] = value
    necks = []
    for block, segments, centers in places(args):
        neck = dict(type=TYPES[args.algorithm], before_block=block, **options)
        if not args.algorithm.endswith('_shift'):
            neck['num_segments'] = segments
            if centers is not None and args.algorithm != 'pooling':
                neck['num_centers'] = centers
        necks.append(neck)
    return necks


def main() -> None:
    args = parse_args()
    with exit_on_input_error():
        necks = make_necks(args)
    num_blocks = None
    if args.frames:
        num_blocks = len(args.frames)
        args.num_frames = args.num_frames or args.frames[0]
    # CenterCLIP's heads have another layer norm than CLIP4Clip's.
    convert(args, ['clip4clip', 'openai'], necks, num_blocks, 1e-5)


if __name__ == '__main__':
    main()
