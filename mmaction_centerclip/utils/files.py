"""Read and write files of tensors, safely and in one place."""
import contextlib
import hashlib
import os
import os.path as osp
import pickle
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmaction_centerclip.errors import InputError

from .homes import expand_home
from .torchscript import is_torchscript, read_torchscript

# By which a folder's videos are known among its other files.
VIDEO_SUFFIXES = ('.3gp', '.avi', '.flv', '.gif', '.m4v', '.mkv', '.mov', '.mp4',
                  '.mpeg', '.mpg', '.mts', '.mxf', '.nut', '.ogv', '.ts', '.vob',
                  '.webm', '.wmv')
# Facts about a model that OpenAI's archives store as if they were weights.
_NOT_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size')


def read_tensors(path: str) -> object:
    """Read whatever a file of tensors holds, on the CPU, without running code in it.

    It is of ``torch.save``, safetensors, or TorchScript, read as a state dict.
    """
    return _read(path)[0]


def read_checkpoint(path: str) -> tuple[dict[str, Tensor], dict, bool]:
    """Read a state dict, and what the file holds beside it.

    The file holds one, or has it under ``state_dict`` or ``model``. The ``module.`` of
    a wrapper is left out; the last value says whether it is a TorchScript archive.
    """
    (loaded, is_archive), rest = _read(path), {}
    if not isinstance(loaded, dict):
        raise InputError(f'{path} is not a state dict, it holds a '
                         f'{type(loaded).__name__}')
    for holder in ('state_dict', 'model', 'model_state_dict', 'model_state'):
        if isinstance(loaded.get(holder), dict):
            rest = {k: v for k, v in loaded.items() if k != holder}
            loaded = loaded[holder]
            break
    if not loaded or not all(isinstance(key, str) and isinstance(value, Tensor)
                             for key, value in loaded.items()):
        held = loaded.get('format')  # which a file of features says of itself
        if not isinstance(held, str):
            held = sorted(map(str, loaded))[:5]
        raise InputError(f'{path} is not a state dict, it holds {held}')
    state = {key.removeprefix('module.'): v for key, v in loaded.items()}
    # Else it would be loaded in part, or as NaN.
    for key, value in state.items():
        check_dense(f'{path}: {key!r}', value)
        if value.is_floating_point() and value.float().isnan().any():
            raise InputError(f'{path}: {key!r} has values that are not a number (NaN)')
    return state, rest, is_archive


def check_dense(name: str, value: Tensor) -> None:
    """Refuse a tensor not stored densely: it may be larger than the memory."""
    kind = ('without values' if value.is_meta else
            'sparse' if value.layout is not torch.strided else
            'quantized' if value.is_quantized else
            'expanded' if value.numel() * value.element_size() >
            value.untyped_storage().nbytes() else '')
    if kind:
        raise InputError(f'{name} is {kind}, expected a dense tensor')


def _read(path: str) -> tuple[object, bool]:
    path = expand_home(path)
    if not osp.isfile(path):
        raise InputError(f'no such file: {path}')
    try:
        if is_torchscript(path):
            state = read_torchscript(path)
            return {k: v for k, v in state.items() if k not in _NOT_WEIGHTS}, True
        if str(path).endswith('.safetensors'):
            return load_file(path), False
        return torch.load(path, map_location='cpu', weights_only=True), False
    except pickle.UnpicklingError as error:
        raise InputError(f'{path}: {explain_refusal(error)}') from error
    except Exception as error:  # A damaged file may raise anything.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f'{path} cannot be read as a file of tensors: {reason}') from error


def explain_refusal(error: pickle.UnpicklingError) -> str:
    """Return in one line why torch's safe loading refused a file."""
    for line in str(error).splitlines():
        if any(word in line for word in ('GLOBAL', 'attribute', 'dtype')):
            return ('the checkpoint is refused, it holds more than weights and '
                    f'training state: {line.strip()}')
    return 'not a readable checkpoint, it is damaged or of another kind'


def check_absent(*paths: str | None) -> None:
    """Raise an InputError if a file is there, before the work to fill it."""
    for path in map(expand_home, filter(None, paths)):
        if osp.exists(path):
            raise InputError(f'{path} exists already, choose another file')


def save_tensors(content: object, path: str) -> None:
    """Write a new file with ``torch.save``, all of it or nothing."""
    check_absent(path)
    with atomic_write(path) as partial:
        torch.save(content, partial)


def write_text(text: str, path: str) -> None:
    """Write a file of text, over one that is there, all of it or nothing."""
    with atomic_write(path) as partial, open(partial, 'w', encoding='utf-8') as file:
        file.write(text)


def hash_file(path: str) -> str:
    """Return a hash of all that a file holds."""
    digest = hashlib.blake2b(digest_size=20)
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, suffix: str = '') -> Iterator[str]:
    """Write to a temporary file, whose name is yielded, and rename it to ``path``.

    Devices and pipes are written in place. ``suffix`` is as for :func:`partial_beside`.
    """
    path = os.fspath(expand_home(path))
    try:
        if osp.isdir(path):
            raise IsADirectoryError(0, 'it is a folder')
        if osp.exists(path) and not osp.isfile(path) or osp.dirname(path) == '/dev':
            yield path
            return
        with partial_beside(path, suffix) as partial:
            yield partial
            os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
        raise InputError(f'{path} cannot be written: {reason}') from error


@contextlib.contextmanager
def partial_beside(path: str, suffix: str = '') -> Iterator[str]:
    """Yield the name of a new file beside another, which is removed at the end.

    The name, such as ``.a.csv.1f2e3d4c.partial``, is nobody's: the file is made here,
    and only it is removed. A kill leaves it, for :func:`remove_partials`. Some writers
    look at how the name ends: ``suffix``.
    """
    folder, name = osp.split(path)
    partial = osp.join(
        folder, f'.{name[:50]}.{secrets.token_hex(4)}.partial{suffix}')
    # By the umask, which tempfile does not heed.
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield partial
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


def remove_partials(folder: str | os.PathLike, names: str = '*') -> None:
    """Remove what killed writers left in a locked folder, and in no folder below it."""
    for path in Path(folder).glob(f'.{names}.*.partial*'):
        if re.fullmatch(r'\..+\.[0-9a-f]{8}\.partial(\.\w+)?', path.name):
            path.unlink(missing_ok=True)


def path_below(folder: str | os.PathLike, name: str, source: str) -> str:
    """Return the path for a name that data give; one that leads out is refused."""
    inner = osp.normpath(name) if isinstance(name, str) and name else '..'
    if osp.isabs(inner) or inner in ('.', '..') or '\0' in inner or inner.startswith(
            f'..{os.sep}'):
        raise InputError(f'{source}: {name!r} leads out of its folder; expected the '
                         'name of a file in it')
    path = osp.join(folder, inner)
    # A link on the way may lead out, too.
    parent = osp.realpath(osp.dirname(path))
    if osp.commonpath([parent, osp.realpath(folder)]) != osp.realpath(folder):
        raise InputError(f'{source}: {name!r} leads out of {folder} by a link')
    return path


def same_video(filename: str) -> str:
    """Return what all ways to name a file share, links too; a URL stays as it is."""
    if '://' in filename:
        return filename
    try:
        stat = os.stat(filename)
    except (OSError, ValueError):
        return osp.realpath(filename)
    return f'{stat.st_dev}:{stat.st_ino}'
