"""The files of an exported model, and the JSON that tells what they are."""
import json
import os
from pathlib import Path

from mmaction_centerclip.clip.models import build_tokenizer
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import hash_file

MANIFEST = 'model.json'
FORMAT = 'mmaction_centerclip.onnx 1'
VIDEOS, TEXTS, HEAD = 'videos.onnx', 'texts.onnx', 'head.onnx'
INPUTS = {VIDEOS: ('frames', 'frame_mask'), TEXTS: ('ids', ),
          HEAD: ('segments', 'segment_mask')}
OUTPUTS = {VIDEOS: ('video', 'segments', 'segment_mask', 'segment_starts'),
           TEXTS: ('text', ), HEAD: ('video', )}
# What this package reads of a manifest; more is for other programs.
_KINDS = dict(format=str, model=str, precision=str, frames=dict, tokenizer=dict,
              width=int, files=dict)


def is_exported(path: object) -> bool:
    """Return True if a path is that of a folder, as an exported model is."""
    return isinstance(path, (str, os.PathLike)) and os.path.isdir(path)


def write_manifest(folder: str | os.PathLike, known: dict) -> None:
    """Write what a folder's files are, and their hashes, as its last file."""
    files = {path.name: hash_file(str(path)) for path in sorted(Path(folder).iterdir())}
    text = json.dumps(dict(format=FORMAT, **known, files=files), indent=1)
    (Path(folder) / MANIFEST).write_text(text, encoding='utf-8')


def read_manifest(folder: str | os.PathLike) -> dict:
    """Read and check what a folder's files are; runs none of them.

    Each file must be there, as it was written, and none may lie elsewhere.
    """
    path = os.path.join(folder, MANIFEST)
    if not os.path.isfile(path):
        raise InputError(f'{folder} is no exported model: it has no {MANIFEST}')
    try:
        with open(path, encoding='utf-8') as file:
            known = json.load(file)
        if known['format'] != FORMAT:
            raise ValueError(f'format must be {FORMAT!r}, got {known["format"]!r}')
        for name, kind in _KINDS.items():
            if type(known[name]) is not kind:
                raise ValueError(f'{name} must be a {kind.__name__}, got '
                                 f'{known[name]!r}')
        count, size = known['frames']['count'], known['frames']['size']
        if not all(type(n) is int and n > 0 for n in (count, *size)) or len(size) != 2:
            raise ValueError(f'frames must have a count and a size of two, got {count} '
                             f'and {size}')
        if missing := INPUTS.keys() - known['files'].keys():
            raise ValueError(f'files lacks {sorted(missing)}')
    except (KeyError, TypeError, RecursionError, ValueError) as error:
        what = f'no {error}' if isinstance(error, KeyError) else str(error)
        raise InputError(f'{path} does not describe an exported model: {what}'
                         ) from error
    for name, expected in known['files'].items():
        _check_file(folder, name, expected)
    # Which may be weights that a file reads.
    if others := sorted({*os.listdir(folder)} - {MANIFEST, *known['files']}):
        raise InputError(f'{folder} holds {others[0]!r}, which {MANIFEST} does not '
                         'list; move it elsewhere')
    return known


def _check_file(folder: str | os.PathLike, name: str, expected: object) -> None:
    path = os.path.join(folder, name)
    if name in ('', '.', '..') or os.path.basename(name) != name:
        raise InputError(f'{folder}: {MANIFEST} names {name!r}, expected files of the '
                         'folder')
    if not os.path.isfile(path):
        raise InputError(f'{path} is missing')
    if hash_file(path) != expected:
        raise InputError(f'{path} is another file than {MANIFEST} tells, or damaged; '
                         'export the model anew')


def write_tokenizer(arch: str | dict, folder: str | os.PathLike) -> str | None:
    """Write the tokenizer of a model to a folder, and return the file's name.

    ``merges.txt`` of open_clip's byte pair encoding: the pairs that it joins, the first
    ones first. ``tokenizer.json`` of one of Hugging Face, for its package
    ``tokenizers``. None where there is no file for it.
    """
    tokenizer = build_tokenizer(arch)
    if hasattr(tokenizer, 'bpe_ranks'):
        pairs = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
        with open(os.path.join(folder, 'merges.txt'), 'w', encoding='utf-8') as file:
            file.writelines(f'{first} {second}\n' for first, second in pairs)
        return 'merges.txt'
    fast = getattr(getattr(tokenizer, 'tokenizer', None), 'backend_tokenizer', None)
    if fast is None:
        return None
    fast.save(os.path.join(folder, 'tokenizer.json'))
    return 'tokenizer.json'
