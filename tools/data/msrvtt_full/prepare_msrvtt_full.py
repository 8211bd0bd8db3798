#!/usr/bin/env python
"""Turn MSRVTT_data.json into the annotations of one of MSR-VTT's own splits.

The test split has 2,990 videos with 20 captions each, all of which are
queries: what papers call MSR-VTT full, beside the 1k-A list of 1,000 videos.
MMAction2's tools/data/video_retrieval downloads the file and prepares the other lists.
"""
import argparse

from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.datasets import convert_annotations, write_annotations
from mmaction_centerclip.errors import InputError


def select_split(content: dict, split: str, suffix: str) -> dict[str, list[str]]:
    """Select the captions of a split's videos, in the order of the file."""
    videos = {video['video_id']: [] for video in content['videos']
              if video['split'] == split}
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
    parser.add_argument('--suffix', default='.mp4', help='suffix of the video files')
    args = parser.parse_args()
    captions = convert_annotations(
        args.annotations,
        lambda content: select_split(content, args.split, args.suffix),
        'have videos with a video_id and a split, and sentences with a '
        'video_id and a caption')
    if not captions:
        raise InputError(f'{args.annotations} has no video of the split {args.split!r}')
    write_annotations(captions, args.out)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
