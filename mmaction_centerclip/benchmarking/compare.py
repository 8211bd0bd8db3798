"""Measure a model beside the same without clustering, and MMAction2's."""
import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .calls import Call, compiled_towers, evaluation_call, training_step
from .measure import count_macs, synchronize, time_interleaved
from .peak_memory import peak_mib

Clock = Callable[[], float]


def benchmark_pair(
    model: nn.Module, unclustered: nn.Module, imgs: Tensor,
    dtype: torch.dtype = torch.float32, compile: bool = False, repeats: int = 7,
    train_imgs: Tensor | None = None, mmaction2: nn.Module | None = None, *,
    evaluation: bool = False, backend: str = 'inductor',
    clock: Clock = time.perf_counter,
    alone: contextlib.AbstractContextManager | None = None) -> dict[str, float]:
    """Measure a model, the same without necks, and MMAction2's, in turns.

    Args:
        model (nn.Module): A retriever with necks.
        unclustered (nn.Module): The same without.
        imgs (Tensor): Frames, shape (B, T, 3, H, W), on the models' device.
        dtype (torch.dtype): Autocast to it unless it is float32.
            Defaults to torch.float32.
        compile (bool): Whether to ``torch.compile`` both vision towers,
            wherever they are called. Defaults to False.
        repeats (int): Timed calls of each. Defaults to 7.
        train_imgs (Tensor, optional): Frames of a training step.
            Defaults to None: none is measured.
        mmaction2 (nn.Module, optional): From :func:`build_mmaction2`; it runs
            as it ships, in float32 and eager. Defaults to None.
        evaluation (bool): Whether to measure the whole evaluation of
            ``imgs`` and a caption each too, from frames in memory to recalls.
            Not of ``mmaction2``, whose own loop decodes a video for each
            caption. Defaults to False.
        backend (str): Of ``torch.compile``. Defaults to ``'inductor'``.
        clock (Callable): See :func:`time_interleaved`.
        alone (AbstractContextManager, optional): Entered, more than once,
            around what is timed, to keep other work away. Defaults to None.

    Returns:
        dict[str, float]: GMACs and milliseconds per video of the vision
        tower, their ratios to those without clustering, the clustering's
        share of the eager tower's time (``clustering_share``; of each neck
        ``share/1 TokenClustering``), videos per second, and peak memory in
        MiB; of an evaluation, milliseconds per video; of a training step,
        milliseconds and peak memory; of all three, ``cold_ms`` of the first call,
        with the compilation that is new; and how many times MMAction2's speed.
    """
    models = dict(clustered=model.eval(), unclustered=unclustered.eval())
    own = dict(models)
    if mmaction2 is not None:
        models['mmaction2'] = mmaction2
        mmaction2.eval()  # Unlike torch's, it returns nothing.
    autocast = torch.autocast(imgs.device.type, dtype, enabled=dtype != torch.float32)
    alone = alone or contextlib.nullcontext()
    timing = partial(_time, repeats=repeats, clock=clock, alone=alone)
    with compiled_towers(own.values(), backend if compile else None):
        result = _measure_towers(models, imgs, autocast, timing)
        if evaluation:
            result.update(_measure_evaluations(own, imgs, autocast, timing))
        if train_imgs is not None:
            few = partial(timing, repeats=max(repeats // 2, 1), warmup=1)
            result.update(_measure_steps(models, train_imgs, autocast, few))
    result.update(_count_gmacs(models, imgs))
    with alone:
        run = autocast(partial(model.encode_video, dict(imgs=imgs)))
        result.update(_clustering_shares(model.backbone.necks, run, repeats, clock))
    return result


def _count_gmacs(models: dict[str, nn.Module], imgs: Tensor) -> dict[str, float]:
    """Count the multiply-adds of each tower and one video, and their ratio."""
    result = {}
    for name, model in models.items():
        first = imgs[:1] if name == 'mmaction2' else dict(imgs=imgs[:1])
        result[f'{name}/gmacs'] = count_macs(partial(model.encode_video, first)) / 1e9
    result['mac_ratio'] = result['clustered/gmacs'] / result['unclustered/gmacs']
    return result


def _time(calls: dict[str, Call], repeats: int, clock: Clock,
          alone: contextlib.AbstractContextManager, warmup: int = 2
          ) -> tuple[dict[str, float], dict[str, float]]:
    """Return milliseconds of the first call of each, and the median of later ones."""
    cold = {name: time_interleaved({name: call}, 1, 0, clock)[name]
            for name, call in calls.items()}
    with alone:
        return cold, time_interleaved(calls, repeats, warmup - 1, clock)


def _measure_towers(models: dict[str, nn.Module], imgs: Tensor,
                    autocast: torch.autocast, timing: Callable) -> dict[str, float]:
    """Measure the vision towers, without gradients."""
    videos, result = len(imgs), {'videos': len(imgs)}
    calls: dict[str, Call] = {}
    for name, model in models.items():
        calls[name] = (partial(model.encode_video, imgs) if name == 'mmaction2' else
                       autocast(partial(model.encode_video, dict(imgs=imgs))))
    cold, times = timing(calls)
    for name, call in calls.items():
        result[f'{name}/cold_ms'] = cold[name] / videos
        result[f'{name}/ms'] = times[name] / videos
        result[f'{name}/videos_per_s'] = 1e3 * videos / times[name]
        with torch.no_grad():
            result[f'{name}/peak_mib'] = peak_mib(call, imgs.device)
    result['time_ratio'] = times['clustered'] / times['unclustered']
    if 'mmaction2' in models:
        result['times_mmaction2'] = times['mmaction2'] / times['clustered']
    return result


def _clustering_shares(necks: Sequence[nn.Module], call: Call, repeats: int,
                       clock: Clock) -> dict[str, float]:
    """Return the median share of a call's time that goes to each neck, and to all."""
    moments: list[float] = []

    def note(*args: object) -> None:
        synchronize()
        moments.append(clock())

    hooks = [hook for neck in necks
             for hook in (neck.register_forward_pre_hook(note),
                          neck.register_forward_hook(note))]
    shares = []
    with torch.no_grad():
        for _ in range(repeats):
            moments.clear()
            note()
            call()
            note()
            start, *inside, end = moments
            # Necks do not nest: entered and left in turn.
            spent = [b - a for a, b in zip(inside[::2], inside[1::2])]
            shares.append([x / (end - start) for x in (sum(spent), *spent)])
    for hook in hooks:
        hook.remove()
    names = ['clustering_share', *(f'share/{number} {type(neck).__name__}'
                                   for number, neck in enumerate(necks, start=1))]
    return {name: sorted(values)[len(values) // 2]
            for name, values in zip(names, zip(*shares))}


def _measure_evaluations(models: dict[str, nn.Module], imgs: Tensor,
                         autocast: torch.autocast,
                         timing: Callable) -> dict[str, float]:
    """Measure from frames in memory to recalls."""
    cold, times = timing({name: evaluation_call(model.eval(), dict(imgs=imgs), autocast)
                          for name, model in models.items()})
    result = {'eval_ms_ratio': times['clustered'] / times['unclustered']}
    for name in models:
        result[f'{name}/eval_cold_ms'] = cold[name] / len(imgs)
        result[f'{name}/eval_ms'] = times[name] / len(imgs)
    return result


def _measure_steps(models: dict[str, nn.Module], imgs: Tensor,
                   autocast: torch.autocast, timing: Callable) -> dict[str, float]:
    """Measure forward, backward and optimizer step of the whole models."""
    plain = torch.autocast(imgs.device.type, enabled=False)
    steps = {name: training_step(model, dict(imgs=imgs),
                                 plain if name == 'mmaction2' else autocast)
             for name, model in models.items()}
    cold, times = timing(steps)
    result: dict[str, float] = {'train_videos': len(imgs)}
    for name, step in steps.items():
        result[f'{name}/step_cold_ms'] = cold[name]
        result[f'{name}/step_ms'] = times[name]
        result[f'{name}/step_peak_mib'] = peak_mib(step, imgs.device)
        models[name].eval()
    for what in ('step_ms', 'step_peak_mib'):
        result[f'{what}_ratio'] = (
            result[f'clustered/{what}'] / result[f'unclustered/{what}'])
    if 'mmaction2' in models:
        result['step_times_mmaction2'] = times['mmaction2'] / times['clustered']
    return result
