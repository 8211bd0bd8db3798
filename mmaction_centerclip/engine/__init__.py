from .clip_constructor import CLIPOptimWrapperConstructor
from .hooks import *  # noqa: F403
from .hooks import __all__ as _hooks
from .runner import RetrievalRunner
from .warmup_cosine import LinearWarmupCosineLR
from .work_dir import find_resumable, lock_work_dir

__all__ = ['CLIPOptimWrapperConstructor', 'LinearWarmupCosineLR', 'RetrievalRunner',
           'find_resumable', 'lock_work_dir', *_hooks]
