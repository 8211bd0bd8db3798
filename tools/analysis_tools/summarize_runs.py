#!/usr/bin/env python
"""Mean and standard deviation over the runs (seeds) of each config."""
import argparse
import sys

from mmaction_centerclip.apis.run_summary import (
    choose_evaluations,
    format_summary,
    plot_summary,
    run_warnings,
    summarize,
    write_csv,
)
from mmaction_centerclip.apis.work_dir import read_run
from mmaction_centerclip.cli import check_outputs, exit_on_input_error

METRICS = [f'{d}/R{k}' for d in ('t2v', 'v2t') for k in (1, 5, 10)]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'work_dir', nargs='+', help="each one run's --work-dir of tools/train.py "
        'or tools/test.py')
    parser.add_argument(
        '--metrics', nargs='+', default=METRICS, help='names without the prefix')
    parser.add_argument(
        '--prefix', default='retrieval', help="of the metrics' names")
    parser.add_argument(
        '--which',
        choices=['val', 'test'],
        help="of the validations of the training, or of the tests on the "
        "config's test data; default: val where all runs have validations")
    parser.add_argument(
        '--best',
        metavar='METRIC',
        help="take each run's best evaluation by this metric, not its last")
    parser.add_argument('--csv', metavar='OUT', help='write the table here')
    parser.add_argument('--plot', metavar='OUT', help='write a picture here')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with exit_on_input_error():
        check_outputs(args.csv, args.plot)
        runs = [read_run(path, args.prefix)
                for path in dict.fromkeys(p.rstrip('/') for p in args.work_dir)]
        which = args.which or choose_evaluations(runs)
        groups = summarize(runs, args.metrics, args.best, which)
        for warning in run_warnings(runs, which):
            print(f'warning: {warning}', file=sys.stderr)
        kind = {'val': 'validation', 'test': 'test'}[which]
        title = f'Last {kind} of each run'
        if args.best:
            title = f'Best {kind} of each run by {args.best}'
        print(f'{title}; mean ± sample standard deviation:')
        print(format_summary(groups))
        if args.best:
            print('The best was chosen on the data it is reported on: '
                  'that flatters the figures.')
        print('Differences under one point of R@1 are within the noise of this '
              'field.')
        if args.csv:
            write_csv(groups, args.csv, f'best {kind} by {args.best}'
                      if args.best else f'last {kind}')
        if args.plot:
            plot_summary(groups, args.plot, title)


if __name__ == '__main__':
    main()
