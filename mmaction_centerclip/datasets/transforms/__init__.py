from .loading import DecordInitFromFile
from .tokenize import OpenCLIPTokenize

__all__ = ['DecordInitFromFile', 'OpenCLIPTokenize']
