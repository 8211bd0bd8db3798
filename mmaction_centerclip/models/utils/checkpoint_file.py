"""Read the weights of a file, safely, whatever wrote it."""
import os.path as osp
import pickle
import zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmaction_centerclip.errors import InputError

__all__ = ['explain_refusal', 'read_checkpoint']

# Facts about a model that OpenAI's archives store as if they were weights.
_NOT_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size')


def read_checkpoint(path: str) -> tuple[dict[str, Tensor], dict, bool]:
    """Read a state dict, and what the file holds beside it.

    Args:
        path (str): A file of ``torch.save`` (a state dict, or a dict with
            one under ``state_dict`` or ``model``), of safetensors, or a TorchScript
            archive such as OpenAI's. Loaded without running its pickles'
            code.

    Returns:
        tuple[dict[str, Tensor], dict, bool]: The state dict, without the
        ``module.`` of a wrapper; the rest; and whether it is an archive.

    Raises:
        InputError: If there is no such file, it cannot be read, or holds no
            state dict.
    """
    if not osp.isfile(path):
        raise InputError(f'no such file: {path}')
    is_archive = zipfile.is_zipfile(path) and any(
        name.endswith('constants.pkl')
        for name in zipfile.ZipFile(path).namelist())
    try:
        if is_archive:
            loaded = torch.jit.load(path, map_location='cpu').state_dict()
            loaded = {k: v for k, v in loaded.items() if k not in _NOT_WEIGHTS}
        elif path.endswith('.safetensors'):
            loaded = load_file(path)
        else:
            loaded = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f'{path}: {explain_refusal(error)}') from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError,
            SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f'{path} is not a readable checkpoint: {reason}') from error
    if not isinstance(loaded, dict):
        raise InputError(f'{path} is not a state dict, it holds a '
                         f'{type(loaded).__name__}')
    rest = {}
    for holder in ('state_dict', 'model', 'model_state_dict', 'model_state'):
        if isinstance(loaded.get(holder), dict):
            rest = {k: v for k, v in loaded.items() if k != holder}
            loaded = loaded[holder]
            break
    if not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise InputError(f'{path} is not a state dict, it holds '
                         f'{sorted(map(str, loaded))[:5]}')
    state = {key.removeprefix('module.'): v for key, v in loaded.items()}
    return state, rest, is_archive


def explain_refusal(error: pickle.UnpicklingError) -> str:
    """What torch.load, its safe loading on, has against a checkpoint."""
    lines = [line.strip() for line in str(error).splitlines()]
    for line in lines:
        if 'GLOBAL' in line or 'attribute' in line:
            return ('the checkpoint is refused, it holds more than weights and '
                    f'training state: {line}')
    return ('not a readable checkpoint, it is damaged or of another kind')
