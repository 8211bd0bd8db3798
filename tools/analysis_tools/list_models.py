#!/usr/bin/env python
"""List the models of open_clip that build here, compared with open_clip's own."""
import argparse
from dataclasses import asdict

# First: only then does mmaction take a newer mmcv.
import mmaction_centerclip  # noqa: F401

# isort: split
import open_clip

from mmaction_centerclip.benchmarking import compare_times, group_families, survey
from mmaction_centerclip.cli import (
    check_outputs,
    exit_on_input_error,
    positive_int,
    write_json,
)
from mmaction_centerclip.errors import InputError, check_choice
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.tables import format_table

TITLES = 'family', 'architectures', 'tags', 'tower, or why there is none'


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__)
    parser.add_argument('models', nargs='*', metavar='model',
                        help='architectures; default: all of open_clip')
    parser.add_argument('--depth', type=positive_int, metavar='BLOCKS',
                        help='compare outputs too, of narrow models of so many blocks')
    parser.add_argument('--time', type=positive_int, metavar='FRAMES',
                        help='time the video towers too, on so many frames; name the '
                        'models then')
    parser.add_argument('--markdown', metavar='OUT', help='write the table here')
    parser.add_argument('--json', metavar='OUT',
                        help='write what is known of each architecture here')
    return parser.parse_args()


def markdown(rows: list[list]) -> str:
    """Format the table of families as Markdown."""
    cells = [[f'`{x}`' if str(x).endswith('Tower') else str(x) for x in row]
             for row in rows]
    lines = [TITLES, ('---', '---:', '---:', '---'), *cells]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def main() -> None:
    args = parse_args()
    with exit_on_input_error():
        check_outputs(args.markdown, args.json)
        for name in args.models:
            check_choice('model', name, open_clip.list_models())
        models = [survey(name, args.depth)
                  for name in args.models or open_clip.list_models()]
        rows = group_families(models)
        print(format_table(TITLES, rows))
        built = [model for model in models if model.tower]
        tags = (sum(model.tags for model in those) for those in (built, models))
        print(f'{len(built)} of {len(models)} architectures and '
              '{} of {} tags build'.format(*tags))
        if args.markdown:
            try:
                with open(args.markdown, 'w', encoding='utf-8') as file:
                    file.write(markdown(rows))
            except OSError as error:
                raise InputError(f'{args.markdown} cannot be written: '
                                 f'{error.strerror}') from None
        write_json([asdict(model) for model in models], args.json)
        if args.time:
            print(format_table(
                ('model', 'ms here', "ms of open_clip's", 'ratio'),
                [(m.name, *(f'{x:.3f}' for x in compare_times(
                    m.name, args.time).values())) for m in built]))
        different = [m for m in built if m.difference]
        if different:
            raise InputError("other than open_clip's: " + '; '.join(
                f'{m.name}: {m.difference}' for m in different))


if __name__ == '__main__':
    main()
