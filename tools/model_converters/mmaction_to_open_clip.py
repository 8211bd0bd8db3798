#!/usr/bin/env python
"""Convert a checkpoint of this project to a state dict of open_clip."""
import argparse

from mmaction_centerclip import cli
from mmaction_centerclip.utils.files import check_absent


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__)
    parser.add_argument('checkpoint', help='the checkpoint to convert')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='the state dict to write')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.clip.feature_settings import kept_settings
from mmaction_centerclip.conversion import to_open_clip
from mmaction_centerclip.utils.tensor_files import read_checkpoint, save_tensors


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    cli.check_outputs(args.out)
    check_absent(args.out)
    state, file, _ = read_checkpoint(args.checkpoint)
    converted, dropped = to_open_clip(state)
    # What no weight tells, for who loads them here again.
    save_tensors(dict(state_dict=converted, meta=kept_settings(file)), args.out)
    print('\n  '.join([
        f'{len(dropped)} of {len(state)} keys have no place in open_clip', *dropped]))
    print(f'Wrote {args.out}, for a text context_length of '
          f'{len(converted["positional_embedding"])}')


if __name__ == '__main__':
    main(ARGS)
