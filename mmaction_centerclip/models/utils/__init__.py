from .checkpoint_file import explain_refusal, read_checkpoint
from .gather import gather_with_grad
from .strict_loading import load_strictly

__all__ = [
    'explain_refusal', 'gather_with_grad', 'load_strictly', 'read_checkpoint'
]
