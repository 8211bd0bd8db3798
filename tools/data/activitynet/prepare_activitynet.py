#!/usr/bin/env python
"""Turn ActivityNet Captions into annotations for paragraph retrieval.

All sentences of a video are joined to one paragraph, in order of their start,
as CLIP4Clip does (arXiv 2104.08860, Sec. 4.1).
"""
import argparse

from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.datasets import convert_annotations, write_annotations


def join_sentences(video: dict) -> str:
    """Join the sentences of a video, in order of their start."""
    starts = [start for start, _ in video['timestamps']]
    order = sorted(range(len(starts)), key=starts.__getitem__)
    return ' '.join(video['sentences'][i].strip() for i in order)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('annotations', help='train.json or val_1.json')
    parser.add_argument('out', help='annotation file to write')
    parser.add_argument('--suffix', default='.mp4', help='suffix of the video files')
    args = parser.parse_args()
    captions = convert_annotations(
        args.annotations, lambda videos: {name + args.suffix: [join_sentences(video)]
                                          for name, video in videos.items()},
        'map videos to their timestamps and sentences')
    write_annotations(captions, args.out)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
