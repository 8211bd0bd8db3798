#!/usr/bin/env python
"""Merge a checkpoint's LoRA into the weights that it adapts."""

from mmaction.registry import MODELS
from mmengine.config import DictAction

from mmaction_centerclip.cli import (
    add_allow_other,
    allow_other_settings,
    check_checkpoint,
    check_outputs,
    exit_on_input_error,
    read_config,
)
from mmaction_centerclip.clip.feature_settings import SETTINGS
from mmaction_centerclip.engine.checkpoints import load_checkpoint, settings_of
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.models.lora import merge_adapters
from mmaction_centerclip.utils.files import check_absent, save_tensors
from mmaction_centerclip.utils.homes import ToolParser


def main() -> None:
    parser = ToolParser(description=__doc__)
    parser.add_argument('config', help='the config that it was trained with')
    parser.add_argument('src', help='the checkpoint to merge')
    parser.add_argument('dst', help='the checkpoint to write, of a plain model')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='settings of the config, as key=value')
    add_allow_other(parser)
    args = parser.parse_args()
    with exit_on_input_error():
        check_outputs(args.dst)
        check_absent(args.dst)
        check_checkpoint(args.src)
        cfg = read_config(args.config, args.cfg_options)
        allow_other_settings(cfg, args.allow_other)
        if not (cfg.get('model') or {}).get('lora'):
            raise InputError(f'{args.config}: the model has no lora to merge')
        prepare_config(cfg)
        with config_errors('model'):
            model = MODELS.build(cfg.model)
        load_checkpoint(model, args.src, cfg)
        keys = len(model.state_dict())
        merge_adapters(model)
        meta = {'merged': 'lora', SETTINGS: settings_of(model, cfg)}
        save_tensors(dict(state_dict=model.state_dict(), meta=meta), args.dst)
    print(f'Wrote {args.dst}, {len(model.state_dict())} of {keys} keys; test it '
          'with the same config and --cfg-options model.lora=None')


if __name__ == '__main__':
    main()
