#!/usr/bin/env python
"""Turn LSMDC's tab-separated lists into retrieval annotations.

LSMDC16_annos_training.csv and LSMDC16_challenge_1000_publictect.csv have a
clip a line: its name, start and end aligned, start and end extracted, and the
sentence. The clip m3086_UGLY_TRUTH_00.23.23.000-00.23.28.886 is the file
m3086_UGLY_TRUTH_00.23.23.000-00.23.28.886.avi.
"""
import argparse
import json
import os
import os.path as osp
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('lists', nargs='+', help='LSMDC lists, joined')
    parser.add_argument('out', help='annotation file to write')
    parser.add_argument('--suffix', default='.avi', help='of the video files')
    args = parser.parse_args()
    if osp.exists(args.out):
        sys.exit(f'error: {args.out} exists already, choose another file')
    captions = {}
    for path in args.lists:
        if not osp.isfile(path):
            sys.exit(f'error: no such file: {path}')
        with open(path, encoding='utf-8', errors='replace') as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                fields = line.rstrip('\n').split('\t')
                if len(fields) != 6:
                    sys.exit(f'error: {path}, line {number}: expected 6 fields '
                             f'separated by tabs, got {len(fields)}')
                captions.setdefault(fields[0] + args.suffix, []).append(fields[5])
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    with open(args.out, 'w') as file:
        json.dump(captions, file, indent=1)
    print(f'{args.out}: {len(captions)} clips')


if __name__ == '__main__':
    main()
