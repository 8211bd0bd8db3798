"""Repair the stock zoo where today's Python stack breaks it.

One function per repair. Each names its upstream issue and does nothing where
the repair is not needed. :func:`apply` runs them all; importing
:mod:`mmaction_centerclip` calls it, so that ``custom_imports`` in a config is
enough for MMAction2's own tools too.
"""
import importlib.metadata
import importlib.util
import os
import pickle
import sys
import types
from pathlib import Path

__all__ = [
    'allow_mmengine_checkpoints', 'apply', 'leave_out_vindlu',
    'provide_missing_drn', 'require_mmcv', 'write_files_whole'
]


def apply() -> None:
    """Apply every repair that this environment needs."""
    require_mmcv()
    provide_missing_drn()
    leave_out_vindlu()
    allow_mmengine_checkpoints()
    write_files_whole()


def require_mmcv() -> None:
    """Explain how to get mmcv, which is not a hard requirement.

    A full ``mmcv`` (with compiled ops) and ``mmcv-lite`` install the same
    files, so that requiring one would break the other.

    Raises:
        ImportError: If no mmcv is installed.
    """
    if importlib.util.find_spec('mmcv') is None:
        raise ImportError(
            'mmaction_centerclip needs mmcv, and none is installed. Either '
            "`pip install 'mmcv-lite>=2.1,<2.2'` (what the extra `lite` brings, "
            'enough for everything here) or '
            "`mim install 'mmcv>=2.0,<2.2'` (the full "
            'package with compiled ops).')


def provide_missing_drn() -> None:
    """Let ``import mmaction.models`` work with the mmaction2 1.2.0 wheel.

    The wheel lacks ``mmaction/models/localizers/drn``, which
    ``localizers/__init__.py`` imports. See
    https://github.com/open-mmlab/mmaction2/issues/2714. A placeholder stands
    in for the one missing class and says so when it is built.
    """
    localizers = Path(
        importlib.util.find_spec('mmaction').submodule_search_locations[0],
        'models', 'localizers')
    package = 'mmaction.models.localizers.drn'
    if (localizers / 'drn' / 'drn.py').is_file() or package in sys.modules:
        return
    if 'import DRN' not in (localizers / '__init__.py').read_text():
        return

    class DRN:
        """Placeholder for a class that the mmaction2 wheel lacks."""

        def __init__(self, *args, **kwargs) -> None:
            raise ImportError(
                'DRN is missing from the installed mmaction2 wheel '
                '(https://github.com/open-mmlab/mmaction2/issues/2714); '
                'install mmaction2 from its sources to use it.')

    module = types.ModuleType(f'{package}.drn')
    module.DRN = DRN
    parent = types.ModuleType(package)
    parent.__path__ = []
    parent.drn = module
    sys.modules[package] = parent
    sys.modules[module.__name__] = module


def leave_out_vindlu() -> None:
    """Let ``import mmaction.models`` work where transformers is installed.

    The zoo imports VindLU if it finds transformers, and VindLU imports
    functions that transformers 4.56 moved away from ``modeling_utils``. The
    zoo's own placeholders, which it registers without transformers, stand in.
    See https://github.com/xinyu1205/recognize-anything/issues/219 for the
    move; no issue of mmaction2's own was found.
    """
    from mmengine.utils import digit_version
    try:
        installed = importlib.metadata.version('transformers')
    except importlib.metadata.PackageNotFoundError:
        return
    if digit_version(installed) < digit_version('4.56'):
        return
    from mmaction.utils import dependency
    dependency.WITH_MULTIMODAL = False


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load`` read mmengine's checkpoints, safe loading left on.

    Since torch 2.6 ``torch.load`` refuses the globals that mmengine 0.10
    stores with the message hub. See
    https://github.com/open-mmlab/mmengine/issues/1655. Exactly those are
    allowed here; a checkpoint with any other one is still refused with an
    error that names it.
    """
    import numpy as np
    import torch
    from mmengine.logging.history_buffer import HistoryBuffer
    from mmengine.utils import digit_version
    if digit_version(torch.__version__) < digit_version('2.6'):
        return  # torch.load is not restricted unless it is told to
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    torch.serialization.add_safe_globals([
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        # numpy 1 and 2 keep these two under different module names; a
        # checkpoint written with one is read with the other.
        (reconstruct, 'numpy.core.multiarray._reconstruct'),
        (reconstruct, 'numpy._core.multiarray._reconstruct'),
        (scalar, 'numpy.core.multiarray.scalar'),
        (scalar, 'numpy._core.multiarray.scalar'),
        *{type(np.dtype(code)) for code in np.typecodes['All'] if code != 'O'},
        # HistoryBuffer's methods are pickled as calls of getattr.
        (_get_statistics_method, 'builtins.getattr'),
    ])


def _get_statistics_method(source: object, name: str):
    """Hand out HistoryBuffer's own statistics methods and nothing else.

    Stands in for ``getattr`` while a checkpoint is unpickled.
    """
    from mmengine.logging.history_buffer import HistoryBuffer
    if source is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(
        f'a checkpoint asked for the attribute {name!r} of {source!r}; only '
        "HistoryBuffer's statistics methods are allowed")


def write_files_whole() -> None:
    """Let mmengine write a local file beside, and rename it when it is whole.

    mmengine 0.10 writes checkpoints in place, so that a kill, or a full disk,
    leaves half of one under its name. No issue of its own was found.
    """
    from mmengine.fileio import LocalBackend
    if hasattr(LocalBackend.put, 'in_place'):
        return
    in_place = LocalBackend.put

    def put(self, obj: bytes, filepath: str | Path) -> None:
        partial = f'{filepath}.partial'
        try:
            in_place(self, obj, partial)
            os.replace(partial, filepath)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    put.in_place = in_place
    LocalBackend.put = put
