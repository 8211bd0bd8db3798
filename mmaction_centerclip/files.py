"""Read and write files of tensors, safely and in one place."""
import contextlib
import os
import os.path as osp
import pickle
from collections.abc import Iterator

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.torchscript import is_torchscript, read_torchscript

__all__ = ['check_absent', 'check_dense', 'explain_refusal', 'read_checkpoint',
           'read_tensors', 'save_tensors', 'whole_file', 'write_text']

# Facts about a model that OpenAI's archives store as if they were weights.
_NOT_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size')


def read_tensors(path: str) -> object:
    """Read whatever a file of tensors holds, without running code in it.

    Args:
        path (str): A file of ``torch.save`` or of safetensors, or a
            TorchScript archive such as OpenAI's.

    Returns:
        object: What was saved, on the CPU; the state dict of an archive.

    Raises:
        InputError: If there is no such file, or it cannot be read.
    """
    return _read(path)[0]


def read_checkpoint(path: str) -> tuple[dict[str, Tensor], dict, bool]:
    """Read a state dict, and what the file holds beside it.

    Args:
        path (str): As for :func:`read_tensors`; a state dict, or a dict with
            one under ``state_dict`` or ``model``.

    Returns:
        tuple[dict[str, Tensor], dict, bool]: The state dict, without the
        ``module.`` of a wrapper; the rest; and whether it is a TorchScript
        archive.

    Raises:
        InputError: If the file cannot be read, or holds no state dict.
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
    for key, value in state.items():
        _check_weight(f'{path}: {key!r}', value)
    return state, rest, is_archive


def check_dense(name: str, value: Tensor) -> None:
    """Refuse a tensor that is not all of its values, one beside the other.

    Args:
        name (str): The file and the tensor, for messages.
        value (Tensor): As read. One that is larger than what is stored of it
            may be larger than the memory.

    Raises:
        InputError: If it is sparse, quantized, expanded or without values.
    """
    kind = ('without values' if value.is_meta else
            'sparse' if value.layout is not torch.strided else
            'quantized' if value.is_quantized else
            'expanded' if value.numel() * value.element_size() >
            value.untyped_storage().nbytes() else '')
    if kind:
        raise InputError(f'{name} is {kind}, expected a dense tensor')


def _check_weight(name: str, value: Tensor) -> None:
    """Refuse what no weight is: such a file would be loaded in part, or as NaN."""
    check_dense(name, value)
    if value.is_floating_point() and value.float().isnan().any():
        raise InputError(f'{name} has values that are not a number (NaN)')


def _read(path: str) -> tuple[object, bool]:
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
    """Say in one line why torch's safe loading refused a file."""
    for line in str(error).splitlines():
        if any(word in line for word in ('GLOBAL', 'attribute', 'dtype')):
            return ('the checkpoint is refused, it holds more than weights and '
                    f'training state: {line.strip()}')
    return 'not a readable checkpoint, it is damaged or of another kind'


def check_absent(*paths: str | None) -> None:
    """Raise an InputError if a file is there, before the work to fill it."""
    for path in filter(None, paths):
        if osp.exists(path):
            raise InputError(f'{path} exists already, choose another file')


def save_tensors(content: object, path: str) -> None:
    """Write a new file with ``torch.save``, all of it or nothing.

    Args:
        content (object): Tensors and plain types, in dicts and lists.
        path (str): The file; until it is complete it has another name.

    Raises:
        InputError: If the file exists.
    """
    check_absent(path)
    with whole_file(path) as partial:
        torch.save(content, partial)


def write_text(text: str, path: str) -> None:
    """Write a file of text, over one that is there, all of it or nothing."""
    with whole_file(path) as partial, open(partial, 'w', encoding='utf-8') as file:
        file.write(text)


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Give a name to write to, which becomes ``path`` once all is written.

    Args:
        path (str): The file, in a folder that exists.

    Raises:
        InputError: If the system cannot write there.
    """
    partial = f'{path}.partial'
    try:
        yield partial
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
        raise InputError(f'{path} cannot be written: {reason}') from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)
