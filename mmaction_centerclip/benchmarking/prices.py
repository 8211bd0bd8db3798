"""Measure what a reducer costs, beside the same model without."""
import copy
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import check_choice, check_positive_int

from .calls import Call, compiled_towers, evaluation_call, training_step
from .measure import count_macs, median_ratio, time_interleaved, time_turns

__all__ = ['PRICES', 'measure_prices']

PRICES = {'tower': '', 'evaluation': 'eval_', 'step': 'step_'}
"""What can be timed, and how the names of its figures begin."""
STEPS = 4  # times as many calls of the others as training steps, which take longer


def measure_prices(
    model: nn.Module, twin: nn.Module, inputs: dict[str, Tensor],
    prices: Sequence[str] = ('tower', ), repeats: int = 40,
    clock: Callable[[], float] = time.perf_counter, backend: str | None = None,
) -> dict[str, float]:
    """Count and time a model beside the same without necks, in turns.

    A ratio is the median of the ratios of calls of the same turn. Both models
    are copied, so that what a training step does to them stays here.

    Args:
        model (nn.Module): A retriever.
        twin (nn.Module): What to compare it with.
        inputs (dict[str, Tensor]): Normalised ``imgs`` (B, T, 3, H, W), and maybe
            ``frame_mask`` (B, T).
        prices (Sequence[str]): Of ``'tower'``, the encoding of the videos;
            ``'evaluation'``, from frames in memory to the recalls of them and a
            caption each; and ``'step'``, a whole training step with AdamW, of
            which a quarter of ``repeats`` are timed. Defaults to
            ``('tower', )``.
        repeats (int): Timed calls of each. Defaults to 40.
        clock (Callable): See :func:`time_turns`.
        backend (str, optional): Of ``torch.compile`` for the video towers.
            Defaults to None: eager.

    Returns:
        dict[str, float]: ``gmacs`` of the tower a video and ``mac_ratio``; of a
        tower ``ms`` a video and ``time_ratio``; ``eval_ms``, ``eval_ratio``,
        ``step_ms``, ``step_ratio``; and of each, compiled, ``cold_ms`` of the
        first call, with the compilation that is new.

    Raises:
        InputError: If there is no such price.
    """
    for price in prices:
        check_choice('prices', price, PRICES)
    check_positive_int('repeats', repeats)
    models = dict(model=copy.deepcopy(model).eval(), twin=copy.deepcopy(twin).eval())
    videos = len(inputs['imgs'])
    macs = {name: count_macs(partial(one.encode_video, inputs))
            for name, one in models.items()}
    figures = dict(gmacs=macs['model'] / videos / 1e9,
                   mac_ratio=macs['model'] / macs['twin'])
    with compiled_towers([*models.values()], backend):
        for price, start in PRICES.items():
            if price not in prices:
                continue
            calls = {name: _call(price, one, inputs) for name, one in models.items()}
            if backend is not None:
                figures[f'{start}cold_ms'] = time_interleaved(
                    dict(first=calls['model']), 1, 0, clock)['first'] / videos
            count = repeats if price != 'step' else -(-repeats // STEPS)
            times = time_turns(calls, count, 2, clock)
            ratio = median_ratio(times['model'], times['twin'])
            figures[f'{start}ms'] = statistics.median(times['model']) / videos
            figures[f'{start or "time_"}ratio'] = ratio
    return figures


def _call(price: str, model: nn.Module, inputs: dict[str, Tensor]) -> Call:
    """Return what is timed; of a step, in training from here on."""
    if price == 'tower':
        return partial(model.encode_video, inputs)
    plain = torch.autocast(inputs['imgs'].device.type, enabled=False)
    return (evaluation_call if price == 'evaluation' else training_step)(
        model, inputs, plain)
