#!/usr/bin/env python
"""Turn MSR-VTT's published files into annotations.

From MSRVTT_data.json with the lists of 9,000 and 7,010 videos to train on; from
JSFUSION's list the 1,000 videos of 1k-A to test on, with a caption each; from
MSRVTT_data.json alone the splits of the data set itself, called full.
"""
from collections import Counter

from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    convert_annotations,
    prepare_splits,
    read_csv,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import InputError

DATA = 'MSRVTT_data.json'
FORM = ('have videos with a video_id and a split, and sentences with a video_id and a '
        'caption')


def read_data(path: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Read the split and the captions of each video."""

    def convert(content: dict) -> tuple:
        splits = {video['video_id']: video['split'] for video in content['videos']}
        captions: dict[str, list[str]] = {name: [] for name in splits}
        for number, sentence in enumerate(content['sentences']):
            name, caption = sentence['video_id'], sentence['caption']
            if name not in captions or not isinstance(caption, str):
                raise InputError(f'sentences[{number}]: expected a caption of one of '
                                 f'the videos, got {name!r}: {caption!r}')
            captions[name].append(caption)
        return splits, captions

    return convert_annotations(path, convert, FORM)


def list_ids(path: str) -> list[str]:
    """Read the video_id of each line, which may stand in one only."""
    rows = read_csv(path, ['video_id'])
    names = [row['video_id'] for _, row in rows]
    repeated = {name for name, count in Counter(names).items() if count > 1}
    for (line, _), name in zip(rows, names):
        if name in repeated:
            raise InputError(f'{path}, line {line}: {name} stands twice')
    return names


def read_listed(list_path: str, data_path: str, suffix: str) -> list[AnnotationEntry]:
    """Return each listed video with all its captions."""
    captions = read_data(data_path)[1]
    for name in list_ids(list_path):
        if not captions.get(name):
            raise InputError(f'{list_path}: {name} has no caption in {data_path}')
    return [AnnotationEntry(name + suffix, captions[name], name)
            for name in list_ids(list_path)]


def read_jsfusion(path: str, suffix: str) -> list[AnnotationEntry]:
    """Read the videos of the test list with the one caption of each."""
    rows = read_csv(path, ['key', 'video_id', 'sentence'])
    return [AnnotationEntry(row['video_id'] + suffix, [row['sentence']], row['key'])
            for _, row in rows]


def read_split(path: str, split: str, suffix: str) -> list[AnnotationEntry]:
    """Select the videos of a split, in the order of the file."""
    splits, captions = read_data(path)
    return [AnnotationEntry(name + suffix, captions[name], name)
            for name, its_split in splits.items() if its_split == split]


def main() -> None:
    args = prepare_parser(__doc__, 'data/video_retrieval/msrvtt', '.mp4').parse_args()
    end = args.suffix

    def listed(*paths: str) -> list[AnnotationEntry]:
        return read_listed(*paths, end)

    prepare_splits([
        Split('train_9k.json', 'train', ('MSRVTT_train.9k.csv', DATA), listed, 9000,
              list_ids),
        Split('train_7k.json', 'train', ('MSRVTT_train.7k.csv', DATA), listed, 7010,
              list_ids),
        Split('test_JSFUSION.json', 'test', ('MSRVTT_JSFUSION_test.csv', ),
              lambda path: read_jsfusion(path, end), 1000),
        *(Split(f'{name}_full.json', name, (DATA, ),
                lambda path, split=split: read_split(path, split, end), count)
          for name, split, count in (('train', 'train', 6513), ('val', 'validate', 497),
                                     ('test', 'test', 2990)))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
