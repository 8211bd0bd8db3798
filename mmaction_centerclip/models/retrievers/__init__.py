from .clip_weights import (
    load_clip_weights,
    read_clip_weights,
    rename_clip_weights,
)
from .lora import merge_adapters
from .video_text_retriever import VideoTextRetriever

__all__ = ['VideoTextRetriever', 'load_clip_weights', 'merge_adapters',
           'read_clip_weights', 'rename_clip_weights']
