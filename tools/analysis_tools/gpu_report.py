#!/usr/bin/env python
"""Measure all that this project claims for a GPU, in a few minutes.

Writes one JSON file and one section of Markdown, after each part; a part, or
a case of one, that fails is a row that says why.
"""
import argparse
import os
import signal
import sys
from pathlib import Path

import torch

from mmaction_centerclip.benchmarking.gpu_parts import PARTS, Settings
from mmaction_centerclip.benchmarking.gpu_report import (
    choose_stages,
    format_markdown,
    run_report,
)
from mmaction_centerclip.cli import check_outputs, exit_on_input_error, write_json
from mmaction_centerclip.errors import InputError, check_number
from mmaction_centerclip.homes import ToolParser

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float,
                        help='for all parts; default: 8, in a dry run 30')
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), metavar='PART',
                        help=f'some of: {", ".join(PARTS)}; default: all')
    parser.add_argument('--dry-run', action='store_true',
                        help='all parts in small, on the CPU, to see that they run')
    parser.add_argument('--json', metavar='OUT', default='gpu_report.json',
                        help='write all figures here')
    parser.add_argument('--markdown', metavar='OUT', default='gpu_report.md',
                        help='write the section for docs/performance.md here')
    return parser.parse_args()


def save(report: dict, args: argparse.Namespace) -> None:
    """Replace both files; whoever reads meanwhile finds the earlier ones whole."""
    write_json(report, f'{args.json}.new')
    Path(f'{args.markdown}.new').write_text(format_markdown(report), encoding='utf-8')
    for path in (args.json, args.markdown):
        os.replace(f'{path}.new', path)


def main() -> None:
    args = parse_args()
    # Ends the part that runs, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended by SIGTERM'))
    with exit_on_input_error():
        # What it takes to import torch on a slow CPU is no part's fault.
        minutes = args.minutes if args.minutes is not None else (
            30 if args.dry_run else 8)
        check_number('--minutes', minutes, lambda x: x > 0, 'above 0')
        if not (args.dry_run or torch.cuda.is_available()):
            raise InputError('there is no GPU that torch can use; --dry-run runs all '
                             'parts in small on the CPU')
        check_outputs(args.json, args.markdown)
        settings = Settings(str(ROOT), 'cpu' if args.dry_run else 'cuda', args.dry_run)
        report = run_report(settings, minutes, choose_stages(args.parts),
                            lambda report: save(report, args))
    print(format_markdown(report))
    failed = sum('error' in row for row in report['rows'])
    print(f'{len(report["rows"])} rows, {failed} of them errors, in {args.json} '
          f'and {args.markdown}')


if __name__ == '__main__':
    main()
