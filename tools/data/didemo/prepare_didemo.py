#!/usr/bin/env python
"""Turn DiDeMo's annotations into annotations for paragraph retrieval.

All descriptions of a video are joined to one paragraph, in the order of the
file, as CLIP4Clip does (arXiv 2104.08860, Sec. 4.1). The names of the videos
are kept, but for their suffix if --suffix gives another.
"""
import argparse
import os.path as osp

from mmaction_centerclip.cli import exit_on_input_error
from mmaction_centerclip.datasets import convert_annotations, write_annotations


def join_descriptions(annotations: list[dict],
                      suffix: str | None) -> dict[str, list[str]]:
    """Join the descriptions of each video to one paragraph."""
    sentences: dict[str, list[str]] = {}
    for annotation in annotations:
        name = annotation['video']
        if suffix is not None:
            name = osp.splitext(name)[0] + suffix
        sentences.setdefault(name, []).append(annotation['description'].strip())
    return {name: [' '.join(parts)] for name, parts in sentences.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        'annotations', help='train_data.json, val_data.json or test_data.json')
    parser.add_argument('out', help='annotation file to write')
    parser.add_argument(
        '--suffix',
        help='suffix of the video files, such as .mp4 if they were converted')
    args = parser.parse_args()
    captions = convert_annotations(
        args.annotations,
        lambda annotations: join_descriptions(annotations, args.suffix),
        'be a list of annotations with a video and a description')
    write_annotations(captions, args.out)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
