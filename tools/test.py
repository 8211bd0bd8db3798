#!/usr/bin/env python
"""Test a model, with the options of MMAction2's own tool."""
import argparse

from mmaction_centerclip.apis import (
    add_common_arguments,
    build_runner,
    check_checkpoint,
    clear_errors,
    load_config,
)
from mmaction_centerclip.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Test (and evaluate) a retrieval model')
    parser.add_argument('config', help='test config file path')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help='the directory to save the file containing evaluation metrics')
    parser.add_argument(
        '--dump',
        type=str,
        help='dump predictions to a pickle file for offline evaluation')
    add_common_arguments(parser)
    return parser.parse_args()


def merge_args(cfg, args: argparse.Namespace) -> None:
    """Merge the options of testing into the config."""
    check_checkpoint(args.checkpoint)
    cfg.load_from = args.checkpoint

    if args.dump is not None:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise InputError(
                f'--dump must name a .pkl or .pickle file, got {args.dump!r}')
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        cfg.test_evaluator = [
            *evaluators,
            dict(type='DumpResults', out_file_path=args.dump)
        ]


def main() -> None:
    args = parse_args()
    with clear_errors():
        cfg = load_config(args)
        merge_args(cfg, args)
        build_runner(cfg).test()


if __name__ == '__main__':
    main()
