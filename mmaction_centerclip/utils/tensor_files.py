"""Read and write files of tensors, safely and in one place."""
import os.path as osp
import pickle

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmaction_centerclip.errors import InputError, explain_refusal

from .files import atomic_write, check_absent, expand_home
from .torchscript import is_torchscript, read_torchscript

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


def save_tensors(content: object, path: str) -> None:
    """Write a new file with ``torch.save``, all of it or nothing."""
    check_absent(path)
    with atomic_write(path) as partial:
        torch.save(content, partial)
