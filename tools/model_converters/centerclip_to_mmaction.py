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

from mmaction_centerclip.apis import clear_errors
from mmaction_centerclip.errors import InputError


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
        '--algorithm', choices=['kmedoids', 'spectral'], default='kmedoids')
    parser.add_argument(
        '--distance', choices=['euclidean', 'cosine'], default='euclidean')
    parser.add_argument(
        '--p', type=float, default=2.0, help='order of the Minkowski distance')
    parser.add_argument(
        '--pre-norm', action='store_true', help='cluster unit length tokens')
    parser.add_argument(
        '--aggregation', choices=['medoid', 'mean'], default='medoid')
    return parser.parse_args()


def places(args: argparse.Namespace) -> list[tuple[int, int, int | None]]:
    """Block, segments and centers of each clustering."""
    if args.frames is not None:
        if args.before_block or args.num_segments:
            raise InputError('--frames stands for --before-block and '
                             '--num-segments, give one or the other')
        return from_lists(args)
    blocks, segments = args.before_block or [], args.num_segments or []
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
    frames = args.frames
    tokens = args.tokens or [None] * len(frames)
    if len(tokens) != len(frames):
        raise InputError('--tokens must have an entry a block as --frames has, '
                         f'got {len(tokens)} and {len(frames)}')
    found = [
        (block + 1, frames[block], tokens[block])
        for block in range(1, len(frames))
        if (frames[block], tokens[block]) != (frames[block - 1],
                                              tokens[block - 1])
    ]
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
    if args.algorithm == 'spectral':
        options = dict(type='SpectralTokenClustering', p=args.p)
    else:
        options = dict(
            type='TokenClustering',
            distance=args.distance,
            p=args.p,
            pre_norm=args.pre_norm)
    necks = []
    for block, segments, centers in places(args):
        neck = dict(
            options,
            before_block=block,
            num_segments=segments,
            aggregation=args.aggregation)
        if centers is not None:
            neck['num_centers'] = centers
        necks.append(neck)
    return necks


def main() -> None:
    args = parse_args()
    if args.frames:
        args.num_frames = args.frames[0]
    with clear_errors():
        necks = make_necks(args)
    convert(args, ['clip4clip', 'openai'], necks)


if __name__ == '__main__':
    main()
