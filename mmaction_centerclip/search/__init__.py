"""An index of one's own videos: a vector for each segment, and moments of them."""
from .ranking import Hit
from .remembered import remembered_model
from .video_index import Added, VideoIndex

__all__ = ['Added', 'Hit', 'VideoIndex', 'remembered_model']
