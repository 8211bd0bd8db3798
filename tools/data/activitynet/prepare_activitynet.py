#!/usr/bin/env python
"""Turn ActivityNet Captions into annotations for paragraph retrieval.

All sentences of a video are joined to one paragraph, in order of their start,
as CLIP4Clip does (arXiv 2104.08860, Sec. 4.1).
"""
import argparse
import json
import os
import os.path as osp
import sys


def paragraph(video: dict) -> str:
    """The sentences of a video, in order of their start."""
    starts = [start for start, _ in video['timestamps']]
    order = sorted(range(len(starts)), key=starts.__getitem__)
    return ' '.join(video['sentences'][i].strip() for i in order)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('annotations', help='train.json or val_1.json')
    parser.add_argument('out', help='annotation file to write')
    parser.add_argument('--suffix', default='.mp4', help='of the video files')
    args = parser.parse_args()
    if osp.exists(args.out):
        sys.exit(f'error: {args.out} exists already, choose another file')
    try:
        with open(args.annotations, encoding='utf-8') as file:
            videos = json.load(file)
        captions = {
            name + args.suffix: [paragraph(video)]
            for name, video in videos.items()
        }
    except FileNotFoundError:
        sys.exit(f'error: no such file: {args.annotations}')
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        sys.exit(f'error: {args.annotations} must map videos to their '
                 'timestamps and sentences')
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    with open(args.out, 'w') as file:
        json.dump(captions, file, indent=1)
    print(f'{args.out}: {len(captions)} videos')


if __name__ == '__main__':
    main()
