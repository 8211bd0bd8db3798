"""Checkpoints of other projects to this one, and back to open_clip."""
from .converter import convert_checkpoint, infer_arch, infer_head
from .sources import SOURCES, Source, convert_state, detect_sources, to_open_clip

__all__ = ['SOURCES', 'Source', 'convert_checkpoint', 'convert_state', 'detect_sources',
           'infer_arch', 'infer_head', 'to_open_clip']
