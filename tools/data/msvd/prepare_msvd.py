#!/usr/bin/env python
"""Turn MSVD's published files into annotations.

From train_list.txt, val_list.txt and test_list.txt, the names of 1,200, 100 and
670 clips, and their captions: raw-captions.pkl, or where that is missing
AllVideoDescriptions.txt, or the English ones of the table that Microsoft publishes,
"MSR Video Description Corpus.csv", video_corpus.csv or video_description.csv.
"""
import os.path as osp
import re

from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    prepare_splits,
    read_csv,
    read_lines,
    read_plain_pickle,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import InputError, Problems, warn

PICKLE, DESCRIPTIONS = 'raw-captions.pkl', 'AllVideoDescriptions.txt'
TABLES = ('MSR Video Description Corpus.csv', 'video_corpus.csv',
          'video_description.csv')
CLIP = re.compile(r'\S+_\d+_\d+')  # a video of YouTube, its first and last second


def read_pickle(path: str) -> dict[str, list[str]]:
    """Read captions from the pickle: a list of lists of words for each clip."""
    content = read_plain_pickle(path)
    if not isinstance(content, dict):
        raise InputError(f'{path} must map clips to lists of captions, it holds a '
                         f'{type(content).__name__}')
    with Problems() as problems:
        for name, captions in content.items():
            if not isinstance(name, str) or not isinstance(captions, (list, tuple)) or (
                    not all(isinstance(words, (list, tuple)) and all(
                        isinstance(word, str) for word in words)
                        for words in captions)):
                problems.add(f'{path}: {str(name)[:80]!r} must have a list of '
                             'captions, each a list of words')
    return {name: [' '.join(words) for words in captions]
            for name, captions in content.items()}


def read_descriptions(path: str) -> dict[str, list[str]]:
    """Read captions from the text, after its preface: a clip and a caption a line."""
    captions: dict[str, list[str]] = {}
    with Problems() as problems:
        for line, text in read_lines(path):
            name, _, caption = text.strip().partition(' ')
            if CLIP.fullmatch(name) and caption.strip():
                captions.setdefault(name, []).append(caption.strip())
            elif captions:
                problems.add(f'{path}, line {line}: expected the name of a clip, such '
                             f'as a_5_15, and a caption, got {text[:80]!r}')
    if not captions:
        raise InputError(f'{path} has no line with the name of a clip and a caption')
    return captions


def read_table(path: str) -> dict[str, list[str]]:
    """Read the English captions of the table, and log how many rows have none."""
    captions: dict[str, list[str]] = {}
    empty = 0
    with Problems() as problems:
        titles = ['VideoID', 'Start', 'End', 'Language', 'Description']
        for line, row in read_csv(path, titles, problems).rows:
            if row['Language'].strip() != 'English':
                continue
            name = '_'.join(row[title].strip() for title in titles[:3])
            if not CLIP.fullmatch(name):
                problems.add(f'{path}, line {line}: expected a VideoID, and Start and '
                             f'End in whole seconds, got {name[:80]!r}')
            elif caption := ' '.join(row['Description'].split()):
                captions.setdefault(name, []).append(caption)
            else:
                empty += 1
    if not captions:
        raise InputError(f'{path} has no row whose Language is English')
    if empty:
        warn(f'{path}: dropped {empty} English rows without a Description')
    return captions


def list_ids(path: str) -> list[tuple[int, str]]:
    """Read the line and the name of each clip of a list."""
    clips: dict[str, int] = {}
    with Problems() as problems:
        for line, text in read_lines(path):
            name = text.strip()
            if not CLIP.fullmatch(name) or name in clips:
                problems.add(f'{path}, line {line}: expected the name of a clip, such '
                             f'as a_5_15, that stands once, got {name[:80]!r}')
            clips[name] = line
    return [(line, name) for name, line in clips.items()]


def read_listed(list_path: str, captions_path: str,
                suffix: str) -> list[AnnotationEntry]:
    """Return each listed clip with all its captions."""
    read = {'.pkl': read_pickle, '.txt': read_descriptions, '.csv': read_table}[
        osp.splitext(captions_path)[1]]
    captions, clips = read(captions_path), list_ids(list_path)
    with Problems() as problems:
        for line, name in clips:
            if not captions.get(name):
                problems.add(f'{list_path}, line {line}: {name} has no caption in '
                             f'{captions_path}')
    return [AnnotationEntry(name + suffix, captions[name], name) for _, name in clips]


def main() -> None:
    args = prepare_parser(__doc__, 'data/video_retrieval/msvd', '.avi').parse_args()
    captions = next((name for name in (PICKLE, DESCRIPTIONS, *TABLES)
                     if osp.isfile(osp.join(args.source, name))), PICKLE)
    prepare_splits([
        Split(f'{split}.json', split, (f'{split}_list.txt', captions),
              lambda *paths: read_listed(*paths, args.suffix), count, list_ids)
        for split, count in (('train', 1200), ('val', 100), ('test', 670))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
