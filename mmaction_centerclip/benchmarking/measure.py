"""Count multiply-adds, and time functions side by side."""
import contextlib
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class _Untracked(contextlib.nullcontext):
    """Tell a FLOP counter that all is computed by one module."""
    parents = ('Global', )


def count_macs(function: Callable[[], object]) -> int:
    """Count multiply-adds of matrix products, convolutions and attention.

    By torch's ``FlopCounterMode``, which counts two per multiply-add. It does not see
    into the fused inference kernel of ``nn.MultiheadAttention``, nor, in some releases,
    into that of ``scaled_dot_product_attention`` on the CPU, which are therefore
    switched off meanwhile. The function is called once, without gradients.
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


def time_interleaved(functions: dict[str, Callable[[], object]], repeats: int = 15,
                     warmup: int = 3, clock: Callable[[], float] | None = None
                     ) -> dict[str, float]:
    """Return the median time of each function, their calls taking turns.

    Args:
        functions (dict[str, Callable]): See :func:`time_turns`.
        repeats (int): Timed calls of each. Defaults to 15.
        warmup (int): Calls of each before. Defaults to 3.
        clock (Callable): See :func:`time_turns`.

    Returns:
        dict[str, float]: Milliseconds a call.
    """
    return {name: statistics.median(times) for name, times in
            time_turns(functions, repeats, warmup, clock).items()}


def time_turns(functions: dict[str, Callable[[], object]], repeats: int,
               warmup: int = 1, clock: Callable[[], float] | None = None
               ) -> dict[str, list[float]]:
    """Return the time of each call of each function, their calls taking turns.

    Every other turn goes the other way round, so that none always comes first.

    Args:
        functions (dict[str, Callable]): What to time, by name; called
            without gradients. CUDA work is waited for.
        repeats (int): Timed calls of each.
        warmup (int): Calls of each before. Defaults to 1.
        clock (Callable): Returns seconds; ``time.process_time`` those of the
            processor, which other programs do not add to. Defaults to
            ``time.perf_counter``.

    Returns:
        dict[str, list[float]]: Milliseconds of each call, by turns.
    """
    clock = clock or time.perf_counter
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

    What slows a machine down for longer than a turn is in both, and goes out of
    their ratio.

    Args:
        times (Sequence[float]): From :func:`time_turns`.
        others (Sequence[float]): As many, of what to compare with.

    Examples:
        >>> from mmaction_centerclip.benchmarking import median_ratio
        >>> median_ratio([1, 10, 100], [2, 20, 20])
        0.5
    """
    return statistics.median(a / b for a, b in zip(times, others))


def synchronize() -> None:
    """Wait for the work that the GPU was given, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def describe_machine(device: str | None = None) -> str:
    """Name the device (by default the GPU if there is one), threads and torch."""
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if device.startswith('cuda'):
        device = torch.cuda.get_device_name()
    return (f'{device}, {torch.get_num_threads()} CPU threads, '
            f'torch {torch.__version__}')
