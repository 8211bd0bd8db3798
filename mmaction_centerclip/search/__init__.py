"""An index of one's own videos, a row for each segment."""
from .hits import Hit
from .video_index import Added, VideoIndex

__all__ = ['Added', 'Hit', 'VideoIndex']
