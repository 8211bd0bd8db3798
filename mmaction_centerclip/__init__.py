"""CenterCLIP and CLIP4Clip for MMAction2.

Importing the package repairs the stock zoo where needed and registers everything here,
in a config by ``custom_imports = dict(imports=['mmaction_centerclip'])``. A tool of the
package reads its command line first, which takes no torch.
"""
import sys
from pathlib import Path

from .version import __version__

__all__ = ['__version__']


def _reads_options_first() -> bool:
    """Return True in a tool of this package, whose parser registers (``cli.py``)."""
    if sys.argv[:1] == ['-m']:  # Which module it is to be, only this says.
        return ('-m', __name__) in zip(sys.orig_argv, sys.orig_argv[1:])
    tool = getattr(sys.modules['__main__'], '__file__', None) or ''
    tools = Path(__file__).parent / '.mim' / 'tools'
    return tools.is_dir() and Path(tool).resolve().is_relative_to(tools.resolve())


if not _reads_options_first():
    from . import registration  # noqa: F401
