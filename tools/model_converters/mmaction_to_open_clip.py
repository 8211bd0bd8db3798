#!/usr/bin/env python
"""Convert a checkpoint of this project to a state dict of open_clip."""
from mmaction_centerclip import cli
from mmaction_centerclip.clip.feature_settings import kept_settings
from mmaction_centerclip.conversion import to_open_clip
from mmaction_centerclip.utils.files import check_absent, read_checkpoint, save_tensors
from mmaction_centerclip.utils.homes import ToolParser


@cli.exit_on_input_error()
def main() -> None:
    parser = ToolParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint to convert')
    parser.add_argument('dst', help='the state dict to write')
    args = parser.parse_args()
    cli.check_outputs(args.dst)
    check_absent(args.dst)
    state, file, _ = read_checkpoint(args.src)
    converted, dropped = to_open_clip(state)
    # What no weight tells, for who loads them here again.
    save_tensors(dict(state_dict=converted, meta=kept_settings(file)), args.dst)
    print('\n  '.join([
        f'{len(dropped)} of {len(state)} keys have no place in open_clip', *dropped]))
    print(f'Wrote {args.dst}, for a text context_length of '
          f'{len(converted["positional_embedding"])}')


if __name__ == '__main__':
    main()
