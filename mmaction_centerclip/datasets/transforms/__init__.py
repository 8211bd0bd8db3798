"""Steps of a pipeline: open, sample, decode, resize, tokenize."""
from .loading import OpenCLIPResize, VideoDecode, VideoInit
from .sampling import SampleFramesWithMask
from .tokenize import OpenCLIPTokenize

__all__ = [
    'OpenCLIPResize', 'OpenCLIPTokenize', 'SampleFramesWithMask', 'VideoDecode',
    'VideoInit'
]
