#!/usr/bin/env python
"""Turn MSVD's published files into annotations.

From train_list.txt, val_list.txt and test_list.txt, the names of 1,200, 100 and
670 clips, and their captions: raw-captions.pkl, or AllVideoDescriptions.txt where
that is missing.
"""
import os.path as osp
import re

from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    prepare_splits,
    read_lines,
    read_plain_pickle,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import InputError

PICKLE, DESCRIPTIONS = 'raw-captions.pkl', 'AllVideoDescriptions.txt'
CLIP = re.compile(r'\S+_\d+_\d+')  # a video of YouTube, its first and last second


def read_pickle(path: str) -> dict[str, list[str]]:
    """Read captions from the pickle: a list of lists of words for each clip."""
    content = read_plain_pickle(path)
    if not isinstance(content, dict):
        raise InputError(f'{path} must map clips to lists of captions, it holds a '
                         f'{type(content).__name__}')
    for name, captions in content.items():
        if not isinstance(name, str) or not isinstance(captions, (list, tuple)) or not (
                all(isinstance(words, (list, tuple)) and all(
                    isinstance(word, str) for word in words) for words in captions)):
            raise InputError(f'{path}: {str(name)[:80]!r} must have a list of '
                             'captions, each a list of words')
    return {name: [' '.join(words) for words in captions]
            for name, captions in content.items()}


def read_descriptions(path: str) -> dict[str, list[str]]:
    """Read captions from the text, after its preface: a clip and a caption a line."""
    captions: dict[str, list[str]] = {}
    for line, text in read_lines(path):
        name, _, caption = text.strip().partition(' ')
        if CLIP.fullmatch(name) and caption.strip():
            captions.setdefault(name, []).append(caption.strip())
        elif captions:
            raise InputError(f'{path}, line {line}: expected the name of a clip, such '
                             f'as a_5_15, and a caption, got {text[:80]!r}')
    if not captions:
        raise InputError(f'{path} has no line with the name of a clip and a caption')
    return captions


def list_ids(path: str) -> list[tuple[int, str]]:
    """Read the line and the name of each clip of a list."""
    clips: dict[str, int] = {}
    for line, text in read_lines(path):
        name = text.strip()
        if not CLIP.fullmatch(name) or name in clips:
            raise InputError(f'{path}, line {line}: expected the name of a clip, such '
                             f'as a_5_15, that stands once, got {name[:80]!r}')
        clips[name] = line
    return [(line, name) for name, line in clips.items()]


def read_listed(list_path: str, captions_path: str,
                suffix: str) -> list[AnnotationEntry]:
    """Return each listed clip with all its captions."""
    read = read_pickle if captions_path.endswith('.pkl') else read_descriptions
    captions = read(captions_path)
    for line, name in list_ids(list_path):
        if not captions.get(name):
            raise InputError(f'{list_path}, line {line}: {name} has no caption in '
                             f'{captions_path}')
    return [AnnotationEntry(name + suffix, captions[name], name)
            for _, name in list_ids(list_path)]


def main() -> None:
    args = prepare_parser(__doc__, 'data/video_retrieval/msvd', '.avi').parse_args()
    only_text = osp.isfile(osp.join(args.source, DESCRIPTIONS)) and not osp.isfile(
        osp.join(args.source, PICKLE))
    captions = DESCRIPTIONS if only_text else PICKLE
    prepare_splits([
        Split(f'{split}.json', split, (f'{split}_list.txt', captions),
              lambda *paths: read_listed(*paths, args.suffix), count, list_ids)
        for split, count in (('train', 1200), ('val', 100), ('test', 670))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
