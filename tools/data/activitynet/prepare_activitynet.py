#!/usr/bin/env python
"""Turn ActivityNet Captions into annotations for paragraph retrieval.

From train.json and val_1.json. All sentences of a video are joined to one
paragraph, in order of their start, as CLIP4Clip does (arXiv 2104.08860, Sec. 4.1).
"""
from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    convert_annotations,
    form_errors,
    prepare_splits,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import InputError, Problems


def join_sentences(timestamps: list, sentences: list[str]) -> str:
    """Join the sentences of a video, in order of their start."""
    if len(timestamps) != len(sentences):
        raise InputError(f'expected a sentence a timestamp, got {len(sentences)} and '
                         f'{len(timestamps)}')
    starts = [float(start) for start, _ in timestamps]
    order = sorted(range(len(starts)), key=starts.__getitem__)
    return ' '.join(sentences[i].strip() for i in order)


def read_paragraphs(path: str, suffix: str) -> list[AnnotationEntry]:
    """Read the paragraph of each video."""

    def convert(videos: dict, problems: Problems) -> list[AnnotationEntry]:
        entries = []
        for name, video in videos.items():
            with problems.of(name), form_errors(
                    'expected timestamps, pairs of seconds, and sentences, got '
                    f'{str(video)[:80]}'):
                paragraph = join_sentences(video['timestamps'], video['sentences'])
                entries.append(AnnotationEntry(name + suffix, [paragraph], name))
        return entries

    return convert_annotations(
        path, convert, 'map videos to their timestamps and sentences')


def main() -> None:
    args = prepare_parser(
        __doc__, 'data/video_retrieval/activitynet', '.mp4').parse_args()
    prepare_splits([
        Split(f'{name}.json', split, (f'{name}.json', ),
              lambda path: read_paragraphs(path, args.suffix), count)
        for name, split, count in (('train', 'train', 10009),
                                   ('val_1', 'val', 4917))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
