#!/usr/bin/env python
"""Convert a checkpoint of this project to a state dict of open_clip."""
import argparse
import os.path as osp

import torch

from mmaction_centerclip.apis.conversion import to_open_clip
from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.files import read_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint to convert')
    parser.add_argument('dst', help='the state dict to write')
    args = parser.parse_args()
    with exit_on_input_error():
        if osp.exists(args.dst):
            raise InputError(f'{args.dst} exists already, choose another file')
        state, _, _ = read_checkpoint(args.src)
        converted, dropped = to_open_clip(state)
        torch.save(converted, args.dst)
    context = len(converted['positional_embedding'])
    print(f'{len(dropped)} of {len(state)} keys have no place in open_clip'
          + ''.join(f'\n  {key}' for key in dropped)
          + f'\nWrote {args.dst}, for a text context_length of {context}')


if __name__ == '__main__':
    main()
