"""Train and test a retriever: the runner, hooks, schedules, checkpoints."""
from .checkpoints import find_resumable, lock_work_dir
from .hooks import *  # noqa: F403
from .hooks import __all__ as _hooks
from .optimization import CLIPOptimWrapperConstructor, LinearWarmupCosineLR
from .runner import RetrievalRunner
from .sharding import FullyShardStrategy

__all__ = ['CLIPOptimWrapperConstructor', 'FullyShardStrategy', 'LinearWarmupCosineLR',
           'RetrievalRunner', 'find_resumable', 'lock_work_dir', *_hooks]
