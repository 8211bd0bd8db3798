"""Measure the most memory that tensors hold at once, on any device."""
import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Count the storages that operations inside this context create.

    Works on the CPU, where torch keeps no such count, and alike on a GPU.
    Counts what is created inside, from its creation to its release; memory
    that a library takes within one operation is not seen.

    Attributes:
        peak (int): Largest number of bytes alive at once.

    Examples:
        >>> with PeakMemory() as memory:
        ...     x = torch.zeros(256)
        ...     y = x + 1
        >>> memory.peak
        2048
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.current = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {leaf.untyped_storage()._cdata
                 for leaf in tree_leaves((args, kwargs or {}))
                 if isinstance(leaf, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage(), known)
        return result

    def _add(self, storage: torch.UntypedStorage, known: set) -> None:
        key = storage._cdata
        if key in known or key in self.alive:
            return
        self.alive[key] = storage.nbytes()
        self.current += self.alive[key]
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.current -= self.alive.pop(key, 0)


def peak_mib(function: Callable[[], object], device: torch.device) -> float:
    """Return the MiB that a call's tensors hold at most, beyond those before it.

    On a GPU, torch's own count; elsewhere :class:`PeakMemory`.

    Args:
        function (Callable): Called once.
        device (torch.device): Where it works.
    """
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - start) / 2**20
    with PeakMemory() as memory:
        function()
    return memory.peak / 2**20
