#!/usr/bin/env python
"""Merge a checkpoint's LoRA into the weights that it adapts."""

from mmaction.registry import MODELS
from mmengine.config import DictAction

from mmaction_centerclip.cli import (
    check_checkpoint,
    check_outputs,
    exit_on_input_error,
    read_config,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.files import check_absent, read_checkpoint, save_tensors
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.models.retrievers import merge_adapters
from mmaction_centerclip.models.utils import load_strictly


def main() -> None:
    parser = ToolParser(description=__doc__)
    parser.add_argument('config', help='the config that it was trained with')
    parser.add_argument('src', help='the checkpoint to merge')
    parser.add_argument('dst', help='the checkpoint to write, of a plain model')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='settings of the config, as key=value')
    args = parser.parse_args()
    with exit_on_input_error():
        check_outputs(args.dst)
        check_absent(args.dst)
        check_checkpoint(args.src)
        cfg = read_config(args.config)
        cfg.merge_from_dict(args.cfg_options or {})
        if not (cfg.get('model') or {}).get('lora'):
            raise InputError(f'{args.config}: the model has no lora to merge')
        model = MODELS.build(cfg.model)
        state, _, _ = read_checkpoint(args.src)
        load_strictly(model, state, args.src)
        merge_adapters(model)
        save_tensors(dict(state_dict=model.state_dict(), meta=dict(merged='lora')),
                     args.dst)
    print(f'Wrote {args.dst}, {len(model.state_dict())} of {len(state)} keys; test it '
          'with the same config and --cfg-options model.lora=None')


if __name__ == '__main__':
    main()
