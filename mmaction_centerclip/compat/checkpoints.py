"""Read mmengine's checkpoints without running them, and write them whole."""
import importlib
import pickle
import types
from pathlib import Path

import numpy as np
import torch

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import atomic_write

from .numpy_2 import view_of

_NUMBERS = [np.dtype(code)
            for code in '?' + np.typecodes['AllInteger'] + np.typecodes['AllFloat']]


def allow_mmengine_checkpoints() -> None:
    """Read mmengine's checkpoints with ``torch.load``, safe loading left on.

    ``torch.load`` refuses the globals that mmengine 0.10 stores with the message hub,
    see https://github.com/open-mmlab/mmengine/issues/1655. Exactly those are allowed.
    Arrays must be of numbers or bools, in the byte order of this machine.
    """
    from mmengine.logging.history_buffer import HistoryBuffer
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    torch.serialization.add_safe_globals([
        HistoryBuffer,
        np.ndarray,
        (_get_number_dtype, 'numpy.dtype'),
        # numpy 1 and 2 keep these two under different module names; a
        # checkpoint written with one is read with the other.
        (reconstruct, 'numpy.core.multiarray._reconstruct'),
        (reconstruct, 'numpy._core.multiarray._reconstruct'),
        (scalar, 'numpy.core.multiarray.scalar'),
        (scalar, 'numpy._core.multiarray.scalar'),
        *{type(dtype) for dtype in _NUMBERS},
        # HistoryBuffer's methods are pickled as calls of getattr.
        (_get_statistics_method, 'builtins.getattr'),
    ])


def _get_number_dtype(code: object, *_) -> np.dtype:
    """Return one of numpy's own dtypes of numbers, in place of ``np.dtype``.

    That would make a new one, into which a file writes, such as fields of objects that
    point anywhere. Numpy ignores what is written into its own dtypes.
    """
    for dtype in _NUMBERS:
        if code == dtype.str[1:]:
            return dtype
    raise pickle.UnpicklingError(
        f'a checkpoint asked for the numpy dtype {code!r}; only numbers and '
        'bools are allowed')


def _get_statistics_method(source: object, name: str):
    """Return a statistics method of HistoryBuffer, in place of ``getattr``."""
    from mmengine.logging.history_buffer import HistoryBuffer
    if source is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(
        f'a checkpoint asked for the attribute {name!r} of {source!r}; only '
        "HistoryBuffer's statistics methods are allowed")


def leave_stored_configs_unread() -> None:
    """Do not execute the config stored in a checkpoint on resume.

    mmengine 0.10 runs it as Python to look for ``gpu_ids``, an option of mmcv's runners
    (https://github.com/open-mmlab/mmcv/pull/844).
    """
    import mmengine
    unread = types.SimpleNamespace(fromstring=lambda text, file_format: {})
    for name in ('runner', '_flexible_runner'):
        module = importlib.import_module(f'mmengine.runner.{name}')
        module.mmengine = view_of(mmengine, Config=unread)


def write_files_whole() -> None:
    """Make mmengine write local files atomically.

    mmengine 0.10 writes in place: a kill, or a full disk, leaves half a checkpoint.
    """
    from mmengine.fileio import LocalBackend
    if hasattr(LocalBackend.put, 'in_place'):
        return

    def put(self, obj: bytes, filepath: str | Path) -> None:
        try:
            with atomic_write(filepath) as partial:
                put.in_place(self, obj, partial)
        except InputError as error:
            if isinstance(error.__cause__, OSError):
                error.__cause__.filename = str(filepath)  # A full disk names none.
                raise error.__cause__ from None
            raise

    put.in_place = LocalBackend.put
    LocalBackend.put = put
