from .sample_rng import sample_rng
from .transforms import DecordInitFromFile, OpenCLIPTokenize
from .video_text_retrieval import VideoTextRetrievalDataset

__all__ = [
    'DecordInitFromFile', 'OpenCLIPTokenize', 'VideoTextRetrievalDataset',
    'sample_rng'
]
