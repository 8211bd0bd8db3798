#!/usr/bin/env python
"""Compute metrics, protocols and re-rankings from features, without the model.

The features are those that ``tools/test.py CONFIG CHECKPOINT --dump FILE`` stored.
"""
import argparse
import re

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('features', help='a .pth file of test.py --dump')
    parser.add_argument('--captions', choices=['all', 'first'], default='all',
                        help='all captions are queries, or the first one of each video')
    parser.add_argument('--topk', type=cli.positive_int, nargs='+', default=[1, 5, 10])
    parser.add_argument(
        '--more-metrics', nargs='+', default=[], metavar='METRIC',
        help='such as MedianRank; all: docs/evaluation.md, and what --custom-imports '
        'registers')
    parser.add_argument(
        '--rerank', nargs='+', default=[], metavar='NAME[:OPTION=VALUE,...]',
        help='such as dual_softmax:temperature=100 or '
        'qb_norm:bank=bank.pth,beta=20; all: docs/evaluation.md, and what '
        '--custom-imports registers')
    parser.add_argument(
        '--custom-imports', nargs='+', metavar='MODULE',
        help='modules to import, which register metrics and re-rankings')
    parser.add_argument('--max-pairs', type=cli.positive_int, default=2**18,
                        help='pairs to score at a time, which bounds the memory')
    parser.add_argument('--score-dtype', choices=['float64', 'float32'],
                        default='float64',
                        help='in which a pairwise head compares the pairs of a bank')
    cli.add_device(parser)
    cli.add_figures_out(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import torch
from mmengine.config import DictAction
from mmengine.utils import import_modules_from_strings

from mmaction_centerclip.evaluation import (
    choose_scorer,
    evaluate_features,
    first_captions,
    load_features,
)


def parse_reranking(given: str) -> dict:
    """Turn ``NAME:OPTION=VALUE,...`` into a config, as ``--cfg-options`` does."""
    name, _, options = given.partition(':')
    # A comma inside a value is not followed by OPTION=.
    parts = re.split(r',(?=\w+=)', options) if options else []
    parsed = argparse.Namespace()
    try:
        DictAction([], 'options')(None, parsed, parts)
    except (AssertionError, ValueError):
        raise InputError('--rerank takes NAME or NAME:OPTION=VALUE,..., got '
                         f'{given!r}') from None
    return dict(parsed.options, type=name)


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    cli.check_outputs(args.out)
    try:
        import_modules_from_strings(args.custom_imports)
    except ImportError as error:
        raise InputError(f'--custom-imports: {error}') from None
    features = load_features(args.features)
    if args.captions == 'first':
        features = first_captions(features)
    scorer = choose_scorer(
        features, device=args.device, dtype=getattr(torch, args.score_dtype),
        max_pairs=args.max_pairs)
    metrics = evaluate_features(
        features, scorer, print, topk=args.topk, more_metrics=args.more_metrics,
        rerank=[parse_reranking(given) for given in args.rerank])
    cli.write_json(metrics, args.out)


if __name__ == '__main__':
    main(ARGS)
