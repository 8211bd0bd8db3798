from .clip4clip import infer_head
from .converter import convert_checkpoint
from .necks import find_parameter
from .sizes import infer_arch
from .sources import SOURCES, Source, convert_state, detect_sources
from .to_open_clip import to_open_clip

__all__ = ['SOURCES', 'Source', 'convert_checkpoint', 'convert_state', 'detect_sources',
           'find_parameter', 'infer_arch', 'infer_head', 'to_open_clip']
