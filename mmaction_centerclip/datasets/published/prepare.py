"""The parts that the tools share which turn published files into annotations."""
import argparse
import os
import os.path as osp
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmaction_centerclip.datasets.annotation_file import (
    AnnotationEntry,
    annotation_text,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import write_text
from mmaction_centerclip.utils.homes import ToolParser

__all__ = ['Split', 'prepare_parser', 'prepare_splits']


class Split(NamedTuple):
    """A part of a data set: what it is made from, and how.

    Args:
        file (str): The annotation file to write.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        sources (tuple[str, ...]): The published files that it needs; if there
            is a ``list_ids``, the first is what that reads.
        read (Callable): Takes the paths of the sources, and returns entries.
        videos (int, optional): How many videos are published. Defaults to
            None: not known.
        list_ids (Callable, optional): Takes the path of the first source, and
            returns a list with an item a video, which tells their number where
            the captions are missing.
    """
    file: str
    split: str
    sources: tuple[str, ...]
    read: Callable[..., list[AnnotationEntry]]
    videos: int | None = None
    list_ids: Callable[[str], list] | None = None


def prepare_parser(doc: str, out: str, suffix: str | None) -> argparse.ArgumentParser:
    """Make the parser of a tool that prepares a data set.

    Args:
        doc (str): The tool's docstring.
        out (str): The folder to which it writes unless told otherwise.
        suffix (str, optional): How the files of the videos end unless told
            otherwise; None if the published names say.
    """
    parser = ToolParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder of the published files')
    parser.add_argument(
        '--out', default=out, help=f'folder to write to, default: {out}')
    parser.add_argument(
        '--suffix', default=suffix,
        help='how the files of the videos end, default: '
        f'{suffix or "as published"}')
    parser.add_argument(
        '--any-count', action='store_true',
        help='take lists with another number of videos than the published ones')
    return parser


def prepare_splits(splits: Sequence[Split], args: argparse.Namespace) -> None:
    """Write the annotation files that are not there yet, each whole.

    Splits whose published files are missing are left out, and named.

    Args:
        splits (Sequence[Split]): All that the data set has.
        args (Namespace): Of :func:`prepare_parser`.

    Raises:
        InputError: If a published file is malformed or holds another number of
            videos than it should, a file to write is there with other content,
            or there is nothing from which to prepare any split.
    """
    if not osp.isdir(args.source):
        raise InputError(f'{args.source} must be the folder of the published files')
    written, ready = 0, 0
    for split in splits:
        paths = [osp.join(args.source, name) for name in split.sources]
        missing = [path for path in paths if not osp.isfile(path)]
        if missing:
            listed = ''
            if split.list_ids and paths[0] not in missing:
                count = len(split.list_ids(paths[0]))
                listed = f'lists {_check_count(split, count, args.any_count)}; '
            print(f'{split.file}: {listed}not prepared, there is no '
                  f'{" and no ".join(missing)}')
            continue
        entries = split.read(*paths)
        videos = _check_count(split, len({entry.video for entry in entries}),
                              args.any_count)
        is_new = write_once(annotation_text(entries, split.split),
                            osp.join(args.out, split.file))
        print(f'{osp.join(args.out, split.file)}: {videos}, '
              f'{sum(len(entry.captions) for entry in entries):,} captions'
              + ('' if is_new else ', is there already'))
        written, ready = written + is_new, ready + 1
    if not ready:
        names = sorted({name for split in splits for name in split.sources})
        raise InputError(f'{args.source} has nothing to prepare a split from; '
                         f'expected {", ".join(names)}')
    if not written:
        print('Nothing to do.')


def _check_count(split: Split, count: int, any_count: bool) -> str:
    """Say how many videos there are, if that is as published."""
    if split.videos in (None, count):
        return f'{count:,} videos' + (' as published' if split.videos else '')
    if not any_count:
        raise InputError(f'{split.file}: {count:,} videos, but {split.videos:,} are '
                         f'published; {split.sources[0]} is cut off or another one '
                         '(--any-count takes it)')
    return f'{count:,} videos, not the published {split.videos:,}'


def write_once(text: str, path: str) -> bool:
    """Write a file, all of it or nothing, unless it is there.

    Args:
        text (str): Its content.
        path (str): The file; its folder is made.

    Returns:
        bool: Whether it was written; False if it was there.

    Raises:
        InputError: If it is there with another content.
    """
    if osp.exists(path):
        with open(path, 'rb') as file:
            if file.read() == text.encode():
                return False
        raise InputError(f'{path} exists already with other content, perhaps of an '
                         'earlier version or other options; remove it or choose '
                         'another --out')
    try:
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    except OSError as error:
        raise InputError(f'--out {osp.dirname(path)}: {error.strerror}') from None
    write_text(text, path)
    return True
