"""Import the zoo with today's packages, and without a config."""
import importlib.metadata
import importlib.util
import sys
import types
from pathlib import Path


def require_mmcv() -> None:
    """Explain how to get mmcv and mmengine, which are not hard requirements.

    Several packages install each of them, so that requiring one would break another.
    """
    for name in ('mmcv', 'mmengine'):
        if importlib.util.find_spec(name) is None:
            raise ImportError(
                f'mmaction_centerclip needs {name}, and none is installed. '
                "Either `pip install 'mmcv-lite>=2.1,<2.2'` (what the extra "
                '`lite` brings, enough for everything here) or '
                "`mim install 'mmcv>=2.0,<2.2'` (the full package with "
                'compiled ops); see docs/installation.md for others.')


def accept_newer_mmcv() -> None:
    """Import the zoo with mmcv 2.2 and later ones of mmcv 2.

    The zoo asserts ``mmcv<2.2``, and uses nothing that they changed, like mmdetection:
    https://github.com/open-mmlab/mmdetection/issues/12312. Where mmaction is imported
    first, its AssertionError comes before this repair.
    """
    import mmcv
    from mmengine.utils import digit_version
    installed = mmcv.__version__
    if not digit_version('2.2') <= digit_version(installed) < digit_version('3'):
        return
    mmcv.__version__ = '2.1.0'
    try:
        import mmaction  # noqa: F401
    finally:
        mmcv.__version__ = installed


def provide_missing_drn() -> None:
    """Import ``mmaction.models`` of the mmaction2 1.2.0 wheel.

    It lacks ``localizers/drn``, see
    https://github.com/open-mmlab/mmaction2/issues/2714. A placeholder stands in for the
    one missing class and says so when it is built.
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
            raise ImportError('DRN is missing from the installed mmaction2 wheel '
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
    """Import ``mmaction.models`` where a new transformers is installed.

    VindLU imports functions that transformers 4.56 moved (see
    https://github.com/xinyu1205/recognize-anything/issues/219). The zoo's own
    placeholders, which it registers without transformers, stand in.
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


def use_the_zoos_scope() -> None:
    """Use the zoo's registries for what is built without a runner.

    mmengine's registries find the zoo's only if the default scope is ``mmaction``,
    which a notebook that builds a dataset does not set. A scope that someone has chosen
    stays, and one that is chosen later replaces this one.
    """
    from mmengine.registry import DefaultScope, init_default_scope
    if DefaultScope.get_current_instance() is None:
        init_default_scope('mmaction')
