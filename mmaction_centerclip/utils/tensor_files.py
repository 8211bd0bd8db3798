"""Read and write files of tensors, safely and in one place."""
import io
import os.path as osp
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmaction_centerclip.errors import InputError, explain_refusal

from .files import atomic_write, check_absent, expand_home

# Facts about a model that OpenAI's archives store as if they were weights.
_NOT_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size')
_DTYPES = dict(
    DoubleStorage=torch.float64, FloatStorage=torch.float32,
    HalfStorage=torch.float16, BFloat16Storage=torch.bfloat16,
    LongStorage=torch.int64, IntStorage=torch.int32, ShortStorage=torch.int16,
    CharStorage=torch.int8, ByteStorage=torch.uint8, BoolStorage=torch.bool)
_LISTS = ('build_intlist', 'build_doublelist', 'build_boollist', 'build_tensorlist')


class _Object:
    """Stand in for an object of the archive: its state, none of its code."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Rebuild tensors and lists, and nothing else by its own class."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f'{folder}data.pkl')))
        self.archive, self.folder = archive, folder
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> object:
        if module.startswith('__torch__'):
            return _Object
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            # torch refuses what lies outside of the storage.
            return lambda storage, offset, size, stride, *_: storage.as_strided(
                size, stride, offset)
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if module == 'torch' and name in _DTYPES:
            return _DTYPES[name]
        if module == 'torch.jit._pickle' and name in _LISTS:
            return lambda values: list(values)
        if (module, name) == ('torch.jit._pickle', 'restore_type_tag'):
            return lambda value, tag: value
        raise pickle.UnpicklingError(f'GLOBAL {module}.{name} is not of weights')

    def persistent_load(self, saved: tuple) -> Tensor:
        """Read a storage of the archive as a tensor of one dimension."""
        _, dtype, key, _, count = saved
        if key not in self.storages:
            data = bytearray(self.archive.read(f'{self.folder}data/{key}'))
            self.storages[key] = torch.frombuffer(
                data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        if len(self.storages[key]) < count:
            raise pickle.UnpicklingError(f'storage {key} is cut short')
        return self.storages[key]


def is_torchscript(path: str) -> bool:
    """Return True if a file is an archive of ``torch.jit.save``."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(n.endswith('/constants.pkl') for n in archive.namelist())


def read_torchscript(path: str) -> dict[str, Tensor]:
    """Read the parameters and buffers of an archive by their names.

    Its code, which ``torch.jit.load`` would run, is left alone: objects are the state
    that they were saved with. A damaged archive may raise anything.
    """
    with zipfile.ZipFile(path) as archive:
        record, = (n for n in archive.namelist() if n.endswith('/data.pkl')
                   and n.count('/') == 1)
        root = _Unpickler(archive, record.removesuffix('data.pkl')).load()
    return dict(_tensors(root, ''))


def _tensors(value: object, name: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Object) and isinstance(
            getattr(value, 'state', None), dict) and depth < 64:
        for key, inner in value.state.items():
            yield from _tensors(inner, f'{name}.{key}'.lstrip('.'), depth + 1)


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
