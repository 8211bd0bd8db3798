from .sample_rng import sample_rng
from .transforms import DecordInitFromFile, OpenCLIPTokenize, SampleFramesWithMask
from .video_text_retrieval import VideoTextRetrievalDataset

__all__ = [
    'DecordInitFromFile', 'OpenCLIPTokenize', 'SampleFramesWithMask',
    'VideoTextRetrievalDataset', 'sample_rng'
]
