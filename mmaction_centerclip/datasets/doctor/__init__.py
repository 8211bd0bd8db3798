"""Look at the data of a config before a training does, and say what is wrong."""
from .diagnose import diagnose
from .report import summarize, write_page

__all__ = ['diagnose', 'summarize', 'write_page']
