from .clip_weights import (
    load_clip_weights,
    read_clip_weights,
    rename_clip_weights,
)
from .video_text_retriever import VideoTextRetriever

__all__ = ['VideoTextRetriever', 'load_clip_weights', 'read_clip_weights',
           'rename_clip_weights']
