#!/usr/bin/env python
"""Turn LSMDC's tab-separated lists into retrieval annotations.

LSMDC16_annos_training.csv and LSMDC16_challenge_1000_publictect.csv have a
clip a line: its name, start and end aligned, start and end extracted, and the
sentence. The clip m3086_UGLY_TRUTH_00.23.23.000-00.23.28.886 is the file
m3086_UGLY_TRUTH_00.23.23.000-00.23.28.886.avi.
"""
import argparse
import os.path as osp

from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.datasets import write_annotations
from mmaction_centerclip.errors import InputError


def read_clips(path: str) -> list[tuple[str, str]]:
    """Read the name and the sentence of each clip of a list."""
    if not osp.isfile(path):
        raise InputError(f'annotation file not found: {path}')
    clips = []
    with open(path, encoding='utf-8', errors='replace') as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            fields = line.rstrip('\n').split('\t')
            if len(fields) != 6:
                raise InputError(f'{path}, line {number}: expected 6 fields '
                                 f'separated by tabs, got {len(fields)}')
            clips.append((fields[0], fields[5]))
    return clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('lists', nargs='+', help='LSMDC lists, joined')
    parser.add_argument('out', help='annotation file to write')
    parser.add_argument('--suffix', default='.avi', help='suffix of the video files')
    args = parser.parse_args()
    captions = {}
    for path in args.lists:
        for name, sentence in read_clips(path):
            captions.setdefault(name + args.suffix, []).append(sentence)
    write_annotations(captions, args.out)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
