#!/usr/bin/env python
"""Test a model, with the options of MMAction2's own tool."""
import argparse

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description='Test (and evaluate) a retrieval model')
    parser.add_argument('config', help='test config file path')
    parser.add_argument(
        'checkpoint', nargs='?',
        help='checkpoint file; by default, zero-shot, the weights that '
        'model.pretrained names')
    parser.add_argument(
        '--work-dir',
        help='the directory to save the file containing evaluation metrics')
    parser.add_argument(
        '--dump', metavar='FILE',
        help='store features, names and captions in a new .pth file, for '
        'tools/analysis_tools/eval_features.py')
    parser.add_argument(
        '--dump-only', action='store_true',
        help='stop after --dump, without comparing anything: for the bank of '
        'QB-Norm, whose pairs with each other nobody needs')
    cli.add_common_arguments(parser)
    args = parser.parse_args()
    if args.dump_only and args.dump is None:
        parser.error('--dump-only goes with --dump')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.apis import load_pretrained
from mmaction_centerclip.engine import launching
from mmaction_centerclip.engine.config import is_retriever
from mmaction_centerclip.engine.runner import model_of
from mmaction_centerclip.evaluation import check_new_file


def merge_args(cfg, args: argparse.Namespace) -> None:
    """Merge the options of testing into the config."""
    if args.checkpoint is None and not (
            is_retriever(cfg) and cfg.model.get('pretrained')):
        raise InputError(f'{args.config}: checkpoint is missing, and model.pretrained '
                         'names no weights to test instead')
    launching.check_checkpoint(args.checkpoint)
    cfg.load_from = args.checkpoint

    if args.dump is not None:
        check_new_file(args.dump)
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        ours = [e for e in evaluators if e.type == 'VideoTextRetrievalMetric']
        if len(ours) != 1:
            raise InputError('--dump needs one VideoTextRetrievalMetric in '
                             f'test_evaluator, got {len(ours)}')
        ours[0].update(dump=args.dump, dump_only=args.dump_only)


def main(args: argparse.Namespace) -> None:
    with cli.exit_on_input_error():
        cfg = launching.load_config(args)
        merge_args(cfg, args)
        runner = launching.build_runner(cfg)
        if args.checkpoint is None:
            if isinstance(runner.model, dict):  # FlexibleRunner's, not yet built
                runner.model = runner.strategy.build_model(runner.model)
            load_pretrained(model_of(runner))
        runner.test()


if __name__ == '__main__':
    main(ARGS)
