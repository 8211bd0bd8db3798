#!/usr/bin/env python
"""Merge a checkpoint's LoRA into the weights that it adapts."""
import argparse

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import check_absent


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__)
    parser.add_argument('config', help='the config that it was trained with')
    parser.add_argument('checkpoint', help='the checkpoint to merge')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='the checkpoint to write, of a plain model')
    cli.add_cfg_options(parser)
    cli.add_allow_other(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.apis import init_retriever
from mmaction_centerclip.clip.feature_settings import SETTINGS
from mmaction_centerclip.engine import launching
from mmaction_centerclip.engine.checkpoints import settings_of
from mmaction_centerclip.models.lora import merge_adapters
from mmaction_centerclip.utils.tensor_files import save_tensors


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    cli.check_outputs(args.out)
    check_absent(args.out)
    launching.check_checkpoint(args.checkpoint)
    cfg = launching.read_config(args.config, args.cfg_options, args.allow_other)
    if not (cfg.get('model') or {}).get('lora'):
        raise InputError(f'{args.config}: the model has no lora to merge')
    model = init_retriever(cfg, args.checkpoint)
    keys = len(model.state_dict())
    merge_adapters(model)
    meta = {'merged': 'lora', SETTINGS: settings_of(model, model.cfg)}
    save_tensors(dict(state_dict=model.state_dict(), meta=meta), args.out)
    print(f'Wrote {args.out}, {len(model.state_dict())} of {keys} keys; test it '
          'with the same config and --cfg-options model.lora=None')


if __name__ == '__main__':
    main(ARGS)
