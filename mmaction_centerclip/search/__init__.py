"""An index of one's own videos: a vector for each segment, and moments of them."""
from .ranking import Hit, join_moments
from .remembered import remembered_model
from .row_export import export_rows
from .video_index import Added, VideoIndex

__all__ = ['Added', 'Hit', 'VideoIndex', 'export_rows', 'join_moments',
           'remembered_model']
