from .lora import merge_adapters
from .video_text_retriever import VideoTextRetriever

__all__ = ['VideoTextRetriever', 'merge_adapters']
