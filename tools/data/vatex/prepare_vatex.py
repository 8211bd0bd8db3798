#!/usr/bin/env python
"""Turn VATEX's published files into annotations, with the English captions.

From vatex_training_v1.0.json, vatex_validation_v1.0.json and
vatex_public_test_english_v1.1.json.
"""
import functools
import re

from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    convert_annotations,
    form_errors,
    prepare_splits,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import InputError, Problems

CLIP = re.compile(r'(.+)_(\d{6})_(\d{6})')  # a video of YouTube, its start and end


def read_english(path: str, suffix: str, whole: bool) -> list[AnnotationEntry]:
    """Read the English captions of each clip, a file or a part of a whole video."""

    def convert(clips: list, problems: Problems) -> list[AnnotationEntry]:
        if not isinstance(clips, list):
            raise TypeError
        entries = []
        for number, clip in enumerate(clips):
            with problems.of(f'[{number}]'), form_errors(
                    f'expected a videoID and a list enCap, got {str(clip)[:80]}'):
                name = clip['videoID']
                video, times = locate(name) if whole else (name, ())
                entries.append(AnnotationEntry(
                    video + suffix, clip['enCap'], name, *times))
        return entries

    return convert_annotations(
        path, convert, 'be a list of clips with a videoID and a list enCap')


def locate(name: str) -> tuple[str, tuple[int, ...]]:
    """Return the video of a clip, and its start and end in there in seconds."""
    found = CLIP.fullmatch(name)
    if not found:
        raise InputError('expected a videoID with the start and the end of the clip, '
                         f'such as a_000010_000020, got {name!r}')
    return found[1], (int(found[2]), int(found[3]))


def main() -> None:
    parser = prepare_parser(__doc__, 'data/video_retrieval/vatex', '.mp4')
    parser.add_argument(
        '--whole-videos', action='store_true',
        help='the videos are not cut: a_000010_000020 is ten seconds of a.mp4')
    args = parser.parse_args()
    read = functools.partial(read_english, suffix=args.suffix, whole=args.whole_videos)
    prepare_splits([
        Split(f'{split}.json', split, (name, ), read, count)
        for split, name, count in (
            ('train', 'vatex_training_v1.0.json', 25991),
            ('val', 'vatex_validation_v1.0.json', 3000),
            ('test', 'vatex_public_test_english_v1.1.json', 6000))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
