from .clip_resize import OpenCLIPResize
from .decoding_errors import DecodingError, decoding_errors, run_transform
from .frame_cache import CachedVideo, FrameCache
from .loading import VideoDecode, VideoInit
from .sampling import SampleFramesWithMask
from .tokenize import OpenCLIPTokenize
from .video_reader import VideoReader

__all__ = [
    'CachedVideo', 'DecodingError', 'FrameCache',
    'OpenCLIPResize', 'OpenCLIPTokenize', 'SampleFramesWithMask', 'VideoDecode',
    'VideoInit', 'VideoReader', 'decoding_errors', 'run_transform'
]
