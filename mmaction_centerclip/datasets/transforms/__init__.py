from .loading import DecodingError, DecordInitFromFile, decoding_errors
from .sampling import SampleFramesWithMask
from .tokenize import OpenCLIPTokenize

__all__ = ['DecodingError', 'DecordInitFromFile', 'OpenCLIPTokenize',
           'SampleFramesWithMask', 'decoding_errors']
