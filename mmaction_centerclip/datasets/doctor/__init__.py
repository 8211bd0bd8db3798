"""Look at the data of a config before a training does, and say what is wrong."""
from .diagnose import diagnose
from .page import write_page
from .summary import summarize

__all__ = ['diagnose', 'summarize', 'write_page']
