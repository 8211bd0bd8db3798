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

from any_to_mmaction import convert, make_parser

from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.conversion import find_parameter
from mmaction_centerclip.errors import InputError

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
    parser = make_parser(__doc__.splitlines()[0])
    for name, what in (
            ('--frames', 'frames inside each block'),
            ('--tokens', 'tokens of a frame inside each block'),
            ('--before-block', 'blocks in front of which to cluster, from 1'),
            ('--num-segments', 'segments, one a clustering'),
            ('--num-centers', 'centers, one a clustering or one for all')):
        parser.add_argument(name, type=integers, help=what)
    parser.add_argument('--algorithm', choices=list(NECKS), default='kmedoids')
    for name, options in NECK_OPTIONS.items():
        parser.add_argument(f'--{name.replace("_", "-")}', **options)
    return parser.parse_args()


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
    """Make the necks' configs."""
    kind, options = NECKS[args.algorithm], {}
    for name in NECK_OPTIONS:
        value = getattr(args, name)
        if value is None:
            continue
        if find_parameter(kind, name) is None:
            raise InputError(f'--{name.replace("_", "-")} does not go with '
                             f'--algorithm {args.algorithm}')
        options[name] = value
    necks = []
    for block, segments, centers in neck_places(args):
        neck = dict(type=kind, before_block=block, **options)
        for name, value in (('num_segments', segments), ('num_centers', centers)):
            if value is not None and find_parameter(kind, name):
                neck[name] = value
        necks.append(neck)
    return necks


def main() -> None:
    args = parse_args()
    with exit_on_input_error():
        necks = make_necks(args)
    if args.frames:
        args.num_frames = args.num_frames or args.frames[0]
    # CenterCLIP's heads have another layer norm than CLIP4Clip's.
    convert(args, ['clip4clip', 'openai'], necks, layer_norm_eps=1e-5,
            num_blocks=args.frames and len(args.frames))


if __name__ == '__main__':
    main()
