#!/usr/bin/env python
"""Mean and standard deviation over the runs (seeds) of each config."""
import argparse
import csv
import sys
from functools import partial

from mmaction_centerclip.benchmarking import read_run, run_warnings, summarize
from mmaction_centerclip.cli import check_outputs, exit_on_input_error
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.tables import format_table

METRICS = [f'{d}/R{k}' for d in ('t2v', 'v2t') for k in (1, 5, 10)]


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__)
    parser.add_argument(
        'work_dir', nargs='+', help="each one run's --work-dir of tools/train.py "
        'or tools/test.py')
    parser.add_argument(
        '--metrics', nargs='+', default=METRICS, help='names without the prefix')
    parser.add_argument('--prefix', default='retrieval', help="of the metrics' names")
    parser.add_argument(
        '--which',
        choices=['val', 'test'],
        help="of the validations of the training, or of the tests on the "
        "config's test data; default: val where all runs have validations")
    parser.add_argument(
        '--best', metavar='METRIC',
        help="take each run's best evaluation by this metric, not its last")
    parser.add_argument('--csv', metavar='OUT', help='write the table here')
    parser.add_argument('--plot', metavar='OUT', help='write a picture here')
    return parser.parse_args()


def format_rows(rows: list[dict], metrics: list[str]) -> str:
    """Format a row a config: mean and deviation of each metric."""

    def cell(mean: float, std: float | None) -> str:
        return f'{mean:.2f} ± {"-" if std is None else f"{std:.2f}":>4}'

    known = [name for name in ('config', 'runs', 'seeds', 'epochs') if name in rows[0]]
    return format_table([*known, *metrics], [
        [*(row[name] for name in known),
         *(cell(row[f'{m} mean'], row[f'{m} std']) for m in metrics)]
        for row in rows])


def write_csv(rows: list[dict], evaluation: str, path: str) -> None:
    """Write a row a config, with a column for each mean and deviation."""
    names = [name for name in rows[0] if not name.endswith(' values')]
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, [*names, 'evaluation'], extrasaction='ignore')
        writer.writeheader()
        writer.writerows(dict(row, evaluation=evaluation) for row in rows)


def plot(rows: list[dict], metrics: list[str], title: str, path: str) -> None:
    """Plot the means with their deviations, and each run as a dot."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(1.2 * len(metrics) + 2, 4))
    axes = figure.subplots()
    for number, row in enumerate(rows, start=1):
        columns = [i + number / (len(rows) + 1) - .5 for i in range(len(metrics))]
        bars = axes.errorbar(columns, [row[f'{m} mean'] for m in metrics],
                             yerr=[row[f'{m} std'] or 0 for m in metrics], fmt='_',
                             capsize=3, label=f'{row["config"]} (n = {row["runs"]})')
        axes.plot(columns, [row[f'{m} values'] for m in metrics], '.',
                  markersize=3, color=bars.lines[0].get_color())
    axes.set_xticks(range(len(metrics)), metrics)
    axes.set_title(title, fontsize=8)
    axes.grid(axis='y', alpha=.3)
    axes.legend(fontsize=6, loc='upper center', bbox_to_anchor=(.5, -.1))
    figure.savefig(path, dpi=150, bbox_inches='tight')


def main() -> None:
    args = parse_args()
    with exit_on_input_error():
        check_outputs(args.csv, args.plot)
        runs = [read_run(path, args.prefix)
                for path in dict.fromkeys(p.rstrip('/') for p in args.work_dir)]
        which = args.which or (
            'val' if all(run.evaluations['val'] for run in runs) else 'test')
        rows = summarize(runs, args.metrics, args.best, which)
        for warning in run_warnings(runs, which):
            print(f'warning: {warning}', file=sys.stderr)
        taken = 'best' if args.best else 'last'
        taken += dict(val=' validation', test=' test')[which]
        by = f' by {args.best}' if args.best else ''
        title = f'{taken.capitalize()} of each run{by}'
        print(f'{title}; mean ± sample standard deviation:')
        print(format_rows(rows, args.metrics))
        if args.best:
            print('The best was chosen on the data it is reported on: '
                  'that flatters the figures.')
        print('Differences under one point of R@1 are within the noise of this '
              'field.')
        for option, path, write in (
                ('--csv', args.csv, partial(write_csv, rows, taken + by)),
                ('--plot', args.plot, partial(plot, rows, args.metrics, title))):
            try:
                if path:
                    write(path)
            except (OSError, ValueError) as error:
                raise InputError(
                    f'{option} {path}: cannot be written: {error}') from None


if __name__ == '__main__':
    main()
