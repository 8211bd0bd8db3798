#!/usr/bin/env python
"""Turn VATEX's published files into annotations, with the English captions.

From vatex_training_v1.0.json, vatex_validation_v1.0.json and
vatex_public_test_english_v1.1.json.
"""
from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    convert_annotations,
    prepare_splits,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser


def read_english(path: str, suffix: str) -> list[AnnotationEntry]:
    """Read the English captions of each clip."""
    return convert_annotations(
        path, lambda clips: [
            AnnotationEntry(clip['videoID'] + suffix, clip['enCap'], clip['videoID'])
            for clip in clips],
        'be a list of clips with a videoID and a list enCap')


def main() -> None:
    args = prepare_parser(__doc__, 'data/video_retrieval/vatex', '.mp4').parse_args()
    prepare_splits([
        Split(f'{split}.json', split, (name, ),
              lambda path: read_english(path, args.suffix), count)
        for split, name, count in (
            ('train', 'vatex_training_v1.0.json', 25991),
            ('val', 'vatex_validation_v1.0.json', 3000),
            ('test', 'vatex_public_test_english_v1.1.json', 6000))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
