"""Multiply-adds and time of what a model does, side by side."""
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ['count_macs', 'time_interleaved']


def count_macs(function: Callable[[], object]) -> int:
    """Multiply-adds of matrix products, convolutions and attention.

    By torch's ``FlopCounterMode``, which counts two per multiply-add. It
    does not see into the fused inference kernel of
    ``nn.MultiheadAttention``, nor, in some releases, into that of
    ``scaled_dot_product_attention`` on the CPU, which are therefore switched
    off meanwhile.

    Args:
        function (Callable): What to count; called once without gradients.

    Returns:
        int: Multiply-adds.
    """
    with torch.no_grad(), _mha_fastpath(False), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as counter:
            function()
    return counter.get_total_flops() // 2


def time_interleaved(functions: dict[str, Callable[[], object]],
                     repeats: int = 15,
                     warmup: int = 3) -> dict[str, float]:
    """Median wall time of each function, their calls taking turns.

    Args:
        functions (dict[str, Callable]): What to time, by name; called
            without gradients. CUDA work is waited for.
        repeats (int): Timed calls of each. Defaults to 15.
        warmup (int): Calls of each before. Defaults to 3.

    Returns:
        dict[str, float]: Milliseconds a call.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    with torch.no_grad():
        for turn in range(warmup + repeats):
            for name, function in functions.items():
                _synchronize()
                start = time.perf_counter()
                function()
                _synchronize()
                if turn >= warmup:
                    times[name].append(time.perf_counter() - start)
    return {
        name: 1e3 * statistics.median(seconds)
        for name, seconds in times.items()
    }


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextlib.contextmanager
def _mha_fastpath(enabled: bool) -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
