#!/usr/bin/env python
"""Train a model, with the options of MMAction2's own tool."""
import argparse

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description='Train a model')
    parser.add_argument('config', help='train config file path')
    parser.add_argument('--work-dir', help='the dir to save logs and models')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='continue from a checkpoint, by default the latest in the work dir')
    parser.add_argument(
        '--amp', action='store_true', help='train with automatic mixed precision')
    parser.add_argument(
        '--no-validate', action='store_true', help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help="scale the learning rate with the batch size, from the config's")
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument('--diff-rank-seed', action='store_true',
                        help='give each process a seed of its own')
    parser.add_argument(
        '--deterministic', action='store_true', help='make cuDNN deterministic')
    cli.add_common_arguments(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import torch

from mmaction_centerclip.engine import find_resumable, launching, lock_work_dir


def merge_args(cfg, args: argparse.Namespace) -> None:
    """Merge the options of training into the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None

    wrapper = cfg.get('optim_wrapper', {}).get('type', 'OptimWrapper')
    if wrapper == 'AmpOptimWrapper' and not torch.cuda.is_available():
        raise InputError('AmpOptimWrapper needs a GPU, and torch finds none; write '
                         '--cfg-options optim_wrapper.type=OptimWrapper')
    if args.amp:
        if not torch.cuda.is_available():
            raise InputError('--amp needs a GPU, and torch finds none')
        if wrapper not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise InputError('--amp goes with the optimizer wrapper '
                             f'OptimWrapper, the config has {wrapper!r}')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')

    if args.resume is not None:
        found = args.resume if args.resume != 'auto' else find_resumable(cfg.work_dir)
        cfg.resume = found is not None
        cfg.load_from = found or cfg.get('load_from')
    if args.resume != 'auto' or not cfg.resume:  # else it was read
        launching.check_checkpoint(cfg.get('load_from'))

    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True

    randomness = cfg.setdefault('randomness', {})
    if args.seed is not None:
        randomness['seed'] = args.seed
    for flag in ('diff_rank_seed', 'deterministic'):
        if getattr(args, flag):
            randomness[flag] = True


def main(args: argparse.Namespace) -> None:
    with cli.exit_on_input_error():
        cfg = launching.load_config(args)
        if launching.is_first_process(args.launcher):
            lock_work_dir(cfg.work_dir)
        merge_args(cfg, args)
        launching.build_runner(cfg).train()


if __name__ == '__main__':
    main(ARGS)
