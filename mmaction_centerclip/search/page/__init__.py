"""A page in the browser to search an index of one's own videos."""
from mmaction_centerclip.errors import InputError

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise InputError(
        f'the page of the search needs {error.name}, which is not installed: '
        "pip install 'mmaction_centerclip[serve]', or pip install -e '.[serve]' in a "
        'copy of the repository') from error

from .app import make_app
from .moments import Moments
from .serving import copy_videos, find_demo, serve

__all__ = ['Moments', 'copy_videos', 'find_demo', 'make_app', 'serve']
