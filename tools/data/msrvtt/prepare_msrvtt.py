#!/usr/bin/env python
"""Turn MSR-VTT's published files into annotations.

From MSRVTT_data.json with the lists of 9,000 and 7,010 videos to train on; from
JSFUSION's list the 1,000 videos of 1k-A to test on, with a caption each; from
MSRVTT_data.json alone the splits of the data set itself, called full. Instead of
MSRVTT_data.json, videodatainfo_2017.json or what the first release has,
train_val_videodatainfo.json and test_videodatainfo.json.
"""
import functools
import os.path as osp
from collections import Counter

from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    convert_annotations,
    form_errors,
    prepare_splits,
    read_csv,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import InputError, Problems

DATA = ('MSRVTT_data.json', 'videodatainfo_2017.json')  # all of it, under two names
TRAIN_VAL, TEST = 'train_val_videodatainfo.json', 'test_videodatainfo.json'
FORM = ('have videos with a video_id and a split, and sentences with a video_id and a '
        'caption')


@functools.cache  # for several splits
def read_data(*paths: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Read the split and the captions of each video, of files that have each a part."""
    splits: dict[str, str] = {}
    captions: dict[str, list[str]] = {}

    def convert(content: dict, problems: Problems) -> None:
        for number, video in enumerate(content['videos']):
            with problems.of(f'videos[{number}]'), form_errors(
                    f'expected a video_id and a split, got {str(video)[:80]}'):
                name, split = video['video_id'], video['split']
                if name in splits:
                    raise InputError(f'{name} stands twice')
                splits[name], captions[name] = split, []
        for number, sentence in enumerate(content['sentences']):
            with problems.of(f'sentences[{number}]'), form_errors(
                    'expected a video_id and a caption, got '
                    f'{str(sentence)[:80]}'):
                name, caption = sentence['video_id'], sentence['caption']
                if name not in captions or not isinstance(caption, str):
                    raise InputError('expected a caption of one of the videos, got '
                                     f'{name!r}: {caption!r}')
                captions[name].append(caption)

    for path in paths:
        convert_annotations(path, convert, FORM)
    return splits, captions


def find_data(source: str) -> dict[str, tuple[str, ...]]:
    """Return the files of all videos, and those of each split, for what is there."""
    there = [name for name in (*DATA, TRAIN_VAL, TEST)
             if osp.isfile(osp.join(source, name))]
    if there and there[0] not in DATA:
        return dict(all=(TRAIN_VAL, TEST), train=(TRAIN_VAL, ), validate=(TRAIN_VAL, ),
                    test=(TEST, ))
    return dict.fromkeys(('all', 'train', 'validate', 'test'), (*there, *DATA)[:1])


def list_ids(path: str) -> list[str]:
    """Read the video_id of each line, which may stand in one only."""
    with Problems() as problems:
        rows = read_csv(path, ['video_id'], problems).rows
        names = [row['video_id'] for _, row in rows]
        repeated = {name for name, count in Counter(names).items() if count > 1}
        for (line, _), name in zip(rows, names):
            if name in repeated:
                problems.add(f'{path}, line {line}: {name} stands twice')
    return names


def read_listed(list_path: str, *data_paths: str, suffix: str) -> list[AnnotationEntry]:
    """Return each listed video with all its captions."""
    captions, names = read_data(*data_paths)[1], list_ids(list_path)
    with Problems() as problems:
        for name in names:
            if not captions.get(name):
                problems.add(f'{list_path}: {name} has no caption in '
                             f'{" or ".join(data_paths)}')
    return [AnnotationEntry(name + suffix, captions[name], name) for name in names]


def read_jsfusion(path: str, suffix: str) -> list[AnnotationEntry]:
    """Read the videos of the test list with the one caption of each."""
    with Problems() as problems:
        rows = read_csv(path, ['key', 'video_id', 'sentence'], problems).rows
    return [AnnotationEntry(row['video_id'] + suffix, [row['sentence']], row['key'])
            for _, row in rows]


def read_split(path: str, split: str, suffix: str) -> list[AnnotationEntry]:
    """Select the videos of a split, in the order of the file."""
    splits, captions = read_data(path)
    return [AnnotationEntry(name + suffix, captions[name], name)
            for name, its_split in splits.items() if its_split == split]


def main() -> None:
    args = prepare_parser(__doc__, 'data/video_retrieval/msrvtt', '.mp4').parse_args()
    end, data = args.suffix, find_data(args.source)
    listed = functools.partial(read_listed, suffix=end)
    prepare_splits([
        Split('train_9k.json', 'train', ('MSRVTT_train.9k.csv', *data['all']), listed,
              9000, list_ids),
        Split('train_7k.json', 'train', ('MSRVTT_train.7k.csv', *data['train']), listed,
              7010, list_ids),
        Split('test_JSFUSION.json', 'test', ('MSRVTT_JSFUSION_test.csv', ),
              lambda path: read_jsfusion(path, end), 1000),
        *(Split(f'{name}_full.json', name, data[split],
                lambda path, split=split: read_split(path, split, end), count)
          for name, split, count in (('train', 'train', 6513), ('val', 'validate', 497),
                                     ('test', 'test', 2990)))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
