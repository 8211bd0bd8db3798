"""A page in the browser to search an index of one's own videos."""
from mmaction_centerclip.errors import import_packages

# Before what needs them.
import_packages('the page of the search', 'serve', 'starlette', 'uvicorn')

from .app import make_app  # noqa: E402
from .moments import Moments  # noqa: E402
from .serving import copy_videos, find_demo, serve  # noqa: E402

__all__ = ['Moments', 'copy_videos', 'find_demo', 'make_app', 'serve']
