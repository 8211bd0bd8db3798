from .annotation_file import convert_annotations, read_annotations, write_annotations
from .sample_rng import sample_rng
from .transforms import (
    DecordInitFromFile,
    OpenCLIPResize,
    OpenCLIPTokenize,
    SampleFramesWithMask,
    VideoDecode,
    VideoInit,
)
from .video_text_retrieval import VideoTextRetrievalDataset

__all__ = [
    'DecordInitFromFile', 'OpenCLIPResize', 'OpenCLIPTokenize',
    'SampleFramesWithMask', 'VideoDecode', 'VideoInit', 'VideoTextRetrievalDataset',
    'convert_annotations', 'read_annotations', 'sample_rng',
    'write_annotations'
]
