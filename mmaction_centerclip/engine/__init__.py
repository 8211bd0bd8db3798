from .hooks import *  # noqa: F403
from .hooks import __all__ as _hooks
from .optimizers import CLIPOptimWrapperConstructor
from .runner import RetrievalRunner
from .schedulers import LinearWarmupCosineLR
from .work_dir import find_resumable, lock_work_dir

__all__ = ['CLIPOptimWrapperConstructor', 'LinearWarmupCosineLR', 'RetrievalRunner',
           'find_resumable', 'lock_work_dir', *_hooks]
