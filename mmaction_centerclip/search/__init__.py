"""An index of one's own videos, a row for each segment."""
from .hits import Hit, Matches
from .video_index import Added, VideoIndex

__all__ = ['Added', 'Hit', 'Matches', 'VideoIndex']
