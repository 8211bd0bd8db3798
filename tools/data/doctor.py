#!/usr/bin/env python
"""Examine the videos and captions of a config before a training does.

Every video is read once as the training would. The report says which are missing,
empty, unreadable, cut off or too short, which captions are empty, too long or repeated,
and what stands in two splits. Only what changed is read again.
"""
import argparse
import json
import os
import os.path as osp

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError, printable
from mmaction_centerclip.utils.files import write_text


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--out', help='folder of the report, default: doctor in the work dir')
    cli.add_num_workers(parser)
    cli.add_cfg_options(parser)
    parser.set_defaults(launcher='none', local_rank=0, work_dir=None)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.datasets.doctor import diagnose, summarize, write_page
from mmaction_centerclip.engine import launching
from mmaction_centerclip.engine.config import prepare_config


def main(args: argparse.Namespace) -> None:
    cfg = launching.load_config(args)
    prepare_config(cfg)
    out = args.out or osp.join(cfg.work_dir, 'doctor')
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise InputError(f'--out {out}: {error.strerror}') from None
    report = diagnose(cfg, osp.join(out, 'videos.jsonl'), args.num_workers)
    write_text(json.dumps(report, indent=1), osp.join(out, 'report.json'))
    write_page(report, f'The data of {osp.basename(args.config)}',
               osp.join(out, 'report.html'))
    print('\n'.join(map(printable, summarize(report))))
    print(f'{osp.join(out, "report.html")} and report.json have all of it.')


if __name__ == '__main__':
    with cli.exit_on_input_error():
        main(ARGS)
