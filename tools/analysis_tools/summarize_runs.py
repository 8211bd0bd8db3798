#!/usr/bin/env python
"""Mean and standard deviation over the runs (seeds) of each config.

Of each work dir counts the last validation, or the last test, which the table
names by the time of its start. Runs are grouped by the name of their config.
"""
import argparse
import json
import statistics
from pathlib import Path

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError

METRICS = [f'{d}/R{k}' for d in ('t2v', 'v2t') for k in (1, 5, 10)]


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', nargs='+', help="each one run's --work-dir")
    parser.add_argument('--metrics', nargs='+', default=METRICS,
                        help='names without the prefix')
    parser.add_argument('--prefix', default='retrieval', help="of the metrics' names")
    parser.add_argument('--which', choices=['val', 'test'], default='val',
                        help='the last validation of a training, or the last test')
    cli.add_figures_out(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.utils.tables import format_table


def read_lines(path: Path) -> list[dict]:
    """Read JSON objects, one a line; a killed training may cut the last."""
    lines = path.read_text(encoding='utf-8', errors='replace').split('\n')
    found = []
    for number, line in enumerate(lines[:-1] or lines, start=1):
        try:
            found.append(dict(json.loads(line or '{}', parse_int=float)))
        except (RecursionError, TypeError, ValueError) as error:
            raise InputError(f'{path}, line {number}: expected a JSON object, got '
                             f'{line[:40]!r}: {error}') from None
    return found


def read_run(work_dir: str, args: argparse.Namespace) -> tuple[str, str, list[float]]:
    """Return a run's config, when its last evaluation began, and the metrics."""
    folder, names = Path(work_dir), [f'{args.prefix}/{name}' for name in args.metrics]
    configs = [path.stem for path in folder.glob('*.py')]
    if len(configs) != 1:
        raise InputError(f'{folder}: expected a work dir with one dumped config, *.py, '
                         f'got {", ".join(configs) or "none"}')
    pattern = '*/vis_data/scalars.json' if args.which == 'val' else '*/[0-9]*.json'
    for path in sorted(filter(Path.is_file, folder.glob(pattern)), reverse=True):
        for line in reversed(read_lines(path)):
            if any(key.startswith(f'{args.prefix}/') for key in line):
                values = [line.get(name) for name in names]
                if all(isinstance(value, float) for value in values):
                    return configs[0], path.relative_to(folder).parts[0], values
                raise InputError(f'{path}: expected numbers for {", ".join(names)}, '
                                 f'got {", ".join(line)}')
    raise InputError(f'{folder}: no evaluation, expected lines with {args.prefix}/... '
                     f'in {pattern}')


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    groups, rows, means = {}, [], {}
    cli.check_outputs(args.out)
    for work_dir in dict.fromkeys(args.work_dir):
        config, start, values = read_run(work_dir, args)
        groups.setdefault(config, []).append(values)
        rows.append([f'{work_dir}, {start}', *(f'{x:.2f}' for x in values)])
    for config, runs in groups.items():
        pairs = [(statistics.fmean(x), statistics.stdev(x) if x[1:] else None)
                 for x in zip(*runs)]
        means[config] = dict(runs=len(runs), **dict(zip(args.metrics, pairs)))
        rows.append([f'{config}, {len(runs)} runs', *(
            f'{mean:.2f} ± {"-" if std is None else f"{std:.2f}"}'
            for mean, std in pairs)])
    print(format_table(['run, or mean of a config', *args.metrics], rows))
    cli.write_json(means, args.out)


if __name__ == '__main__':
    main(ARGS)
