from .converter import (
    convert_checkpoint,
    make_model_config,
    to_open_clip,
    write_config,
)
from .sizes import infer_arch
from .sources import KINDS, convert_state, detect_kind

__all__ = [
    'KINDS', 'convert_checkpoint', 'convert_state', 'detect_kind',
    'infer_arch', 'make_model_config', 'to_open_clip', 'write_config'
]
