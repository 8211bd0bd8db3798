"""Videos with captions: the data set, its annotations and its pipeline."""
from mmaction_centerclip.annotations import (
    AnnotationEntry,
    annotation_text,
    convert_annotations,
    read_annotations,
    read_entries,
)

from .caching.feature_cache import FeatureCache, recipe_of
from .samples import sample_rng, stack_in_worker
from .transforms import (
    OpenCLIPResize,
    OpenCLIPTokenize,
    SampleFramesWithMask,
    VideoDecode,
    VideoInit,
)
from .video_text_retrieval import VideoTextRetrievalDataset

__all__ = [
    'AnnotationEntry', 'FeatureCache', 'OpenCLIPResize', 'OpenCLIPTokenize',
    'SampleFramesWithMask', 'VideoDecode', 'VideoInit', 'VideoTextRetrievalDataset',
    'annotation_text', 'convert_annotations', 'read_annotations', 'read_entries',
    'recipe_of', 'sample_rng', 'stack_in_worker'
]
