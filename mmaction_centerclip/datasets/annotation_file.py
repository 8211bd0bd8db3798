"""Annotation files: JSON that maps video files to lists of captions."""
import json
import logging
import os
import os.path as osp
from collections import Counter
from collections.abc import Callable

from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError, named_errors
from mmaction_centerclip.files import write_text

__all__ = ['convert_annotations', 'read_annotations', 'write_annotations']


def convert_annotations(path: str, convert: Callable,
                        expected: str) -> dict[str, list[str]]:
    """Read a JSON file of any form as captions of videos.

    Args:
        path (str): The file.
        convert (Callable): Turns its content into a dict from video files to
            lists of captions.
        expected (str): What the file must do or be, for the message.

    Raises:
        InputError: If the file is missing, no JSON, or cannot be converted.
    """
    if not osp.isfile(path):
        raise InputError(f'annotation file not found: {path}')
    try:
        with named_errors(path), open(path, encoding='utf-8') as file:
            content = json.load(file, object_pairs_hook=_without_repeats)
    except InputError:
        raise
    except (RecursionError, ValueError) as error:
        raise InputError(f'{path} is not JSON: {error}') from None
    try:
        return convert(content)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise InputError(f'{path} must {expected}') from None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict:
    """Make a JSON object of its pairs, none of which may hide another."""
    content = dict(pairs)
    if len(content) < len(pairs):
        name, = Counter(name for name, _ in pairs).most_common(1)
        raise InputError(f'{name[0]!r} stands {name[1]} times, so that captions '
                         'would be lost; list them together')
    return content


def read_annotations(path: str) -> dict[str, list[str]]:
    """Read captions of videos, and log how many empty ones are dropped.

    Args:
        path (str): The annotation file.

    Returns:
        dict[str, list[str]]: Captions of each video that has any.

    Raises:
        InputError: If the file is missing, of another form, or without any
            caption.
    """
    videos = convert_annotations(
        path, _check_form, 'map video files to lists of captions, such as '
        '{"video0.mp4": ["a caption", ...]}')
    kept = {name: [text for text in captions if text.strip()]
            for name, captions in videos.items()}
    fewer = [name for name in videos if len(kept[name]) < len(videos[name])]
    bare = [name for name in videos if not kept[name]]
    if len(bare) == len(videos):
        raise InputError(f'{path}: none of its {len(videos)} videos has a '
                         'caption that is not empty')
    empty = sum(len(videos[name]) - len(kept[name]) for name in fewer)
    for dropped, names in (
        (f'{empty} empty captions of {len(fewer)} videos', fewer),
        (f'{len(bare)} videos without a caption', bare)):
        if names:
            print_log(f'{path}: dropped {dropped}, the first being {names[0]}',
                      'current', logging.WARNING)
    return {name: captions for name, captions in kept.items() if captions}


def _check_form(videos: dict[str, list[str]]) -> dict[str, list[str]]:
    if not videos or not all(
            isinstance(captions, list) and all(
                isinstance(text, str) for text in captions)
            for captions in videos.values()):
        raise TypeError
    return videos


def write_annotations(captions: dict[str, list[str]], path: str) -> None:
    """Write captions of videos to a new file, all or nothing, and say so.

    Args:
        captions (dict[str, list[str]]): Captions of each video.
        path (str): The file; its folder is made.

    Raises:
        InputError: If the file exists.
    """
    if osp.exists(path):
        raise InputError(f'{path} exists already, choose another file')
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    write_text(json.dumps(captions, indent=1), path)
    print(f'{path}: {len(captions)} videos, '
          f'{sum(map(len, captions.values()))} captions')
