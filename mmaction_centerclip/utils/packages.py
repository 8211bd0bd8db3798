"""Import packages of the extras of setup.py."""
import importlib
from types import ModuleType

from mmaction_centerclip.errors import InputError


def import_packages(what: str, extra: str, *names: str) -> list[ModuleType]:
    """Import packages of an extra, or say how to install one for ``what``."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise InputError(
            f'{what} needs {error.name}, which is not installed: pip install '
            f"'mmaction_centerclip[{extra}]', or pip install -e '.[{extra}]' in a copy "
            'of the repository') from error
