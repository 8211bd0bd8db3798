from .loading import DecordInitFromFile
from .sampling import SampleFramesWithMask
from .tokenize import OpenCLIPTokenize

__all__ = ['DecordInitFromFile', 'OpenCLIPTokenize', 'SampleFramesWithMask']
