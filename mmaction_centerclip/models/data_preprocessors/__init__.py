from .video_text import VideoTextDataPreprocessor

__all__ = ['VideoTextDataPreprocessor']
