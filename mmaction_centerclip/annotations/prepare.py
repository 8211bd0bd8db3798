"""Turn published files into annotation files, split by split."""
import os
import os.path as osp
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import write_text

from .annotation_file import AnnotationEntry, annotation_text


class Split(NamedTuple):
    """A part of a data set: what it is made from, and how."""
    file: str  # the annotation file to write
    split: str
    sources: tuple[str, ...]  # the published files that it needs
    read: Callable[..., list[AnnotationEntry]]  # takes the paths of the sources
    videos: int | None = None  # how many, or clips, are published, if that is known
    # Takes the first source; one item a video, where the captions are missing.
    list_ids: Callable[[str], list] | None = None


def prepare_splits(splits: Sequence[Split], source: str, out: str,
                   any_count: bool = False) -> None:
    """Write the annotation files that are not there yet, each whole.

    Splits whose published files are missing from ``source`` are left out, and named.
    With ``any_count`` the number of videos need not be as published.
    """
    if not osp.isdir(source):
        raise InputError(f'{source} must be the folder of the published files')
    written, ready = 0, 0
    for split in splits:
        paths = [osp.join(source, name) for name in split.sources]
        missing = [path for path in paths if not osp.isfile(path)]
        if missing:
            listed = ''
            if split.list_ids and paths[0] not in missing:
                count = len(split.list_ids(paths[0]))
                listed = f'lists {_check_count(split, count, any_count)}; '
            print(f'{split.file}: {listed}not prepared, there is no '
                  f'{" and no ".join(missing)}')
            continue
        entries = split.read(*paths)
        videos = _check_count(split, len(entries), any_count)
        written += write_split(entries, split.split, osp.join(out, split.file), videos)
        ready += 1
    if not ready:
        names = sorted({name for split in splits for name in split.sources})
        raise InputError(f'{source} has nothing to prepare a split from; '
                         f'expected {", ".join(names)}')
    if not written:
        print('Nothing to do.')


def _check_count(split: Split, count: int, any_count: bool) -> str:
    """Describe how many videos there are, if that is as published."""
    if split.videos in (None, count):
        return f'{count:,} videos' + (' as published' if split.videos else '')
    if not any_count:
        raise InputError(f'{split.file}: {count:,} videos, but {split.videos:,} are '
                         f'published; {split.sources[0]} is cut off or another one '
                         '(--any-count takes it)')
    return f'{count:,} videos, not the published {split.videos:,}'


def write_split(entries: Sequence[AnnotationEntry], split: str, path: str,
                videos: str) -> bool:
    """Write an annotation file, all of it or nothing, and print what it holds.

    One of another content is refused. False if it is there already.
    """
    text, is_there = annotation_text(entries, split), osp.exists(path)
    if is_there:
        with open(path, 'rb') as file:
            if file.read() != text.encode():
                raise InputError(f'{path} exists already with other content, perhaps '
                                 'of an earlier version or other options; remove it '
                                 'or choose another --out')
    else:
        try:
            os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        except OSError as error:
            raise InputError(f'--out {osp.dirname(path)}: {error.strerror}') from None
        write_text(text, path)
    print(f'{path}: {videos}, {sum(len(entry.captions) for entry in entries):,} '
          f'captions{", is there already" if is_there else ""}')
    return not is_there
