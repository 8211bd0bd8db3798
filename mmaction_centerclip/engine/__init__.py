from .hooks import *  # noqa: F403
from .hooks import __all__ as _hooks
from .optimizers import CLIPOptimWrapperConstructor
from .schedulers import LinearWarmupCosineLR

__all__ = ['CLIPOptimWrapperConstructor', 'LinearWarmupCosineLR', *_hooks]
