"""Read the tensors of a TorchScript archive without running the archive."""
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor

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
