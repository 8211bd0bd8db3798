#!/usr/bin/env python
"""Turn MSRVTT_data.json into the annotations of one of MSR-VTT's own splits.

The test split has 2,990 videos with 20 captions each, all of which are
queries: what papers call MSR-VTT full, beside the 1k-A list of 1,000 videos.
MMAction2's tools/data/video_retrieval downloads the file and prepares the
other lists.
"""
import argparse
import json
import os
import os.path as osp
import sys


def captions_of(content: dict, split: str, suffix: str) -> dict[str, list[str]]:
    """The captions of each video of a split, in the order of the file."""
    videos = {
        video['video_id']: []
        for video in content['videos'] if video['split'] == split
    }
    for sentence in content['sentences']:
        if sentence['video_id'] in videos:
            videos[sentence['video_id']].append(sentence['caption'])
    return {name + suffix: captions for name, captions in videos.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('annotations', help='MSRVTT_data.json')
    parser.add_argument('out', help='annotation file to write')
    parser.add_argument(
        '--split', choices=['train', 'validate', 'test'], default='test')
    parser.add_argument('--suffix', default='.mp4', help='of the video files')
    args = parser.parse_args()
    if osp.exists(args.out):
        sys.exit(f'error: {args.out} exists already, choose another file')
    try:
        with open(args.annotations, encoding='utf-8') as file:
            videos = captions_of(json.load(file), args.split, args.suffix)
    except FileNotFoundError:
        sys.exit(f'error: no such file: {args.annotations}')
    except (KeyError, TypeError, ValueError):
        sys.exit(f'error: {args.annotations} must have videos with a video_id '
                 'and a split, and sentences with a video_id and a caption')
    if not videos:
        sys.exit(f'error: {args.annotations} has no video of the split '
                 f'{args.split!r}')
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    with open(args.out, 'w') as file:
        json.dump(videos, file, indent=1)
    print(f'{args.out}: {len(videos)} videos, '
          f'{sum(map(len, videos.values()))} captions')


if __name__ == '__main__':
    main()
