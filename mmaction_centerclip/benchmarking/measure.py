"""Count multiply-adds and memory, and time calls that take turns."""
import contextlib
import platform
import re
import statistics
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from mmaction_centerclip.errors import InputError

Call = Callable[[], object]


class _Untracked(contextlib.nullcontext):
    """Attribute all FLOPs to one module."""
    parents = ('Global', )


def count_macs(function: Call) -> int:
    """Count multiply-adds of matrix products, convolutions and attention.

    ``FlopCounterMode`` sees not into the fused inference kernel of
    ``MultiheadAttention``, nor, in some releases, into attention on the CPU: both are
    off meanwhile.
    """
    counter = FlopCounterMode(display=False)
    # torch's own, which counts by module, fails on parameters that are expanded.
    counter.mod_tracker = _Untracked()
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            function()
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
    return counter.get_total_flops() // 2


def time_turns(functions: dict[str, Call], repeats: int, warmup: int = 1,
               clock: Callable[[], float] = time.perf_counter
               ) -> dict[str, list[float]]:
    """Return the milliseconds of each call of each function, by turns.

    Every other turn goes the other way round, so that none always comes first.
    ``clock`` returns seconds; other programs add none to those of
    ``time.process_time``. Without gradients; CUDA work is waited for.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    with torch.no_grad():
        for turn in range(warmup + repeats):
            for name in list(functions)[::-1 if turn % 2 else 1]:
                synchronize()
                start = clock()
                functions[name]()
                synchronize()
                if turn >= warmup:
                    times[name].append(1e3 * (clock() - start))
    return times


def median_ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios of times that were taken in the same turn.

    What slows a machine down for longer than a turn goes out of their ratio.
    """
    return statistics.median(a / b for a, b in zip(times, others))


class _Storages(TorchDispatchMode):
    """Count the bytes of storages from their creation inside to their release."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs or {}))
                 if isinstance(x, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, torch.Tensor):
                storage = x.untyped_storage()
                key = storage._cdata
                if key not in known and key not in self.alive:
                    self.alive[key] = storage.nbytes()
                    self.peak = max(self.peak, sum(self.alive.values()))
                    weakref.finalize(storage, self.alive.pop, key, 0)
        return result


def peak_mib(function: Call, device: str | torch.device = 'cpu') -> float:
    """Return the MiB that a call's tensors hold at most, beyond those before it.

    On a GPU by torch's own count. The CPU has none, and the process keeps memory that
    it once had: there the storages count that torch's operations create.
    """
    if torch.device(device).type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - start) / 2**20
    with _Storages() as storages:
        function()
    return storages.peak / 2**20


def synchronize() -> None:
    """Wait for the work that the GPU was given, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def check_cpu_time(device: str) -> None:
    """Raise an InputError where the CPU time of a call would not be its own."""
    if torch.get_num_threads() != 1 or device != 'cpu':
        raise InputError('CPU time is comparable on one CPU thread only, got '
                         f'{torch.get_num_threads()} threads on {device}')


def _cpu_name() -> str:
    """Return the processor's name where the system has one, else its architecture."""
    with contextlib.suppress(OSError, TypeError):
        return re.search(r'model name\s*: (.+)', Path('/proc/cpuinfo').read_text())[1]
    return platform.processor() or platform.machine()


def describe_machine(device: str = 'cpu') -> str:
    """Return the names of the device and of torch, and the number of threads."""
    if device.startswith('cuda'):
        device = torch.cuda.get_device_name(device)
    elif device == 'cpu':
        device = _cpu_name()
    return (f'{device}, {torch.get_num_threads()} CPU threads, '
            f'torch {torch.__version__}')
