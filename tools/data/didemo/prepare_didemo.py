#!/usr/bin/env python
"""Turn DiDeMo's annotations into annotations for paragraph retrieval.

All descriptions of a video are joined to one paragraph, in the order of the
file, as CLIP4Clip does (arXiv 2104.08860, Sec. 4.1). The names of the videos
are kept, but for their suffix if --suffix gives another.
"""
import argparse
import json
import os
import os.path as osp
import sys


def paragraphs(annotations: list[dict], suffix: str | None) -> dict[str, list[str]]:
    """One paragraph a video."""
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
        '--suffix', help='of the video files, such as .mp4 if they were converted')
    args = parser.parse_args()
    if osp.exists(args.out):
        sys.exit(f'error: {args.out} exists already, choose another file')
    try:
        with open(args.annotations, encoding='utf-8') as file:
            videos = paragraphs(json.load(file), args.suffix)
    except FileNotFoundError:
        sys.exit(f'error: no such file: {args.annotations}')
    except (AttributeError, KeyError, TypeError, ValueError):
        sys.exit(f'error: {args.annotations} must be a list of annotations with '
                 'a video and a description')
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    with open(args.out, 'w') as file:
        json.dump(videos, file, indent=1)
    print(f'{args.out}: {len(videos)} videos')


if __name__ == '__main__':
    main()
