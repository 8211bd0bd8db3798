#!/usr/bin/env python
"""Compute metrics, protocols and re-rankings from features, without the model.

The features are those that ``tools/test.py CONFIG CHECKPOINT --dump FILE``
stored.
"""
import argparse
import json
from pathlib import Path

import torch

import mmaction_centerclip  # noqa: F401
from mmaction_centerclip.cli import check_outputs, exit_on_input_error, positive_int
from mmaction_centerclip.evaluation import (
    RetrievalFeatures,
    describe_protocol,
    evaluate_features,
    first_captions,
    load_features,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('features', help='a .pth file of test.py --dump')
    parser.add_argument(
        '--captions',
        choices=['all', 'first'],
        default='all',
        help='all captions are queries, or the first one of each video')
    parser.add_argument('--topk', type=positive_int, nargs='+', default=[1, 5, 10])
    parser.add_argument(
        '--extra',
        nargs='+',
        default=[],
        metavar='METRIC',
        help='gmean, Rsum, mAP, NDCG')
    parser.add_argument(
        '--dual-softmax',
        type=float,
        metavar='TEMPERATURE',
        help='re-rank with the dual softmax, such as 100')
    parser.add_argument(
        '--qb-norm',
        metavar='FILE',
        help='re-rank with QB-Norm; the features of the training set')
    parser.add_argument(
        '--qb-beta', type=float, help="QB-Norm's inverse temperature, default 20")
    parser.add_argument(
        '--qb-top',
        type=positive_int,
        help='how many best items of a query of the bank count as hubs, default 1')
    parser.add_argument(
        '--max-pairs',
        type=positive_int,
        default=2**18,
        help='pairs to score at a time, which bounds the memory')
    parser.add_argument(
        '--score-dtype',
        choices=['float64', 'float32'],
        default='float64',
        help='in which a pairwise head compares the pairs of a bank')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--json', metavar='OUT', help='write the metrics here')
    args = parser.parse_args()
    if args.qb_norm is None and (args.qb_beta or args.qb_top):
        parser.error('--qb-beta and --qb-top go with --qb-norm')
    return args


def rerankings(args: argparse.Namespace) -> list[dict]:
    """The re-rankings that were asked for, as the metric takes them."""
    chosen = []
    if args.dual_softmax is not None:
        chosen.append(dict(type='dual_softmax', temperature=args.dual_softmax))
    if args.qb_norm is not None:
        given = dict(beta=args.qb_beta, top=args.qb_top)
        given = {name: x for name, x in given.items() if x is not None}
        chosen.append(dict(type='qb_norm', bank=args.qb_norm, **given))
    return chosen


def evaluate(features: RetrievalFeatures,
             args: argparse.Namespace) -> dict[str, float]:
    """Print the protocol and a row a re-ranking."""
    if args.captions == 'first':
        features = first_captions(features)
    print(describe_protocol(
        features.captions_per_video(), features.paragraph, args.extra))
    return evaluate_features(
        features,
        report=print,
        topk=tuple(args.topk),
        extra=args.extra,
        rerank=rerankings(args),
        matrix=features.similarity,
        max_pairs=args.max_pairs,
        dtype=getattr(torch, args.score_dtype),
        device=args.device)


def main() -> None:
    args = parse_args()
    with exit_on_input_error():
        check_outputs(args.json)
        metrics = evaluate(load_features(args.features), args)
    if args.json:
        Path(args.json).write_text(json.dumps(metrics, indent=1))


if __name__ == '__main__':
    main()
