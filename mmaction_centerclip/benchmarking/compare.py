"""Measure a model beside the same without clustering, and MMAction2's."""
import time
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from .measure import count_macs, synchronize, time_interleaved
from .peak_memory import peak_mib


def benchmark_pair(model: nn.Module,
                   unclustered: nn.Module,
                   imgs: Tensor,
                   dtype: torch.dtype = torch.float32,
                   compile: bool = False,
                   repeats: int = 7,
                   train_imgs: Tensor | None = None,
                   mmaction2: nn.Module | None = None) -> dict[str, float]:
    """Measure a model, the same without necks, and MMAction2's, in turns.

    Args:
        model (nn.Module): A retriever with necks.
        unclustered (nn.Module): The same without.
        imgs (Tensor): Frames, shape (B, T, 3, H, W), on the models' device.
        dtype (torch.dtype): Autocast to it unless it is float32.
            Defaults to torch.float32.
        compile (bool): Whether to ``torch.compile`` both vision towers.
            Defaults to False.
        repeats (int): Timed calls of each. Defaults to 7.
        train_imgs (Tensor, optional): Frames of a training step.
            Defaults to None: no step is measured.
        mmaction2 (nn.Module, optional): From :func:`build_mmaction2`; it runs
            as it ships, in float32 and eager. Defaults to None.

    Returns:
        dict[str, float]: GMACs and milliseconds per video of the vision
        tower, their ratios to those without clustering, the clustering's
        share of the time, videos per second, and peak memory in MiB; of a
        training step, of the whole model, milliseconds and peak memory; and
        how many times MMAction2's speed that is, if it is there.
    """
    models = dict(clustered=model.eval(), unclustered=unclustered.eval())
    if mmaction2 is not None:
        mmaction2.eval()  # Unlike torch's, it returns nothing.
        models['mmaction2'] = mmaction2
    autocast = torch.autocast(imgs.device.type, dtype, enabled=dtype != torch.float32)
    result = _measure_towers(models, imgs, autocast, compile, repeats)
    if train_imgs is not None:
        result.update(_measure_steps(models, train_imgs, autocast, repeats))
    return result


def _measure_towers(models: dict[str, nn.Module], imgs: Tensor,
                    autocast: torch.autocast, compile: bool,
                    repeats: int) -> dict[str, float]:
    """Measure the vision towers, without gradients."""
    videos, result = len(imgs), {'videos': len(imgs)}
    calls: dict[str, Callable[[], object]] = {}
    for name, model in models.items():
        encode, theirs = model.encode_video, name == 'mmaction2'
        inputs = imgs if theirs else dict(imgs=imgs)
        first = imgs[:1] if theirs else dict(imgs=imgs[:1])
        result[f'{name}/gmacs'] = count_macs(partial(encode, first)) / 1e9
        if compile and not theirs:
            encode = torch.compile(encode)
        call = partial(encode, inputs)
        calls[name] = call if theirs else autocast(call)

    times = time_interleaved(calls, repeats, warmup=2)
    for name, call in calls.items():
        result[f'{name}/ms'] = times[name] / videos
        result[f'{name}/videos_per_s'] = 1e3 * videos / times[name]
        with torch.no_grad():
            result[f'{name}/peak_mib'] = peak_mib(call, imgs.device)
    result['mac_ratio'] = result['clustered/gmacs'] / result['unclustered/gmacs']
    result['time_ratio'] = times['clustered'] / times['unclustered']
    model = models['clustered']
    result['clustering_share'] = _clustering_share(
        model.backbone.necks,
        autocast(partial(model.encode_video, dict(imgs=imgs))), repeats)
    if 'mmaction2' in models:
        result['times_mmaction2'] = times['mmaction2'] / times['clustered']
    return result


def _clustering_share(necks: Iterable[nn.Module], call: Callable[[], object],
                      repeats: int) -> float:
    """Return the median share of a call's time that goes to the necks."""
    moments: list[float] = []

    def note(*args: object) -> None:
        synchronize()
        moments.append(time.perf_counter())

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
            spent = sum(inside[1::2]) - sum(inside[::2])
            shares.append(spent / (end - start))
    for hook in hooks:
        hook.remove()
    return sorted(shares)[len(shares) // 2]


def _measure_steps(models: dict[str, nn.Module], imgs: Tensor,
                   autocast: torch.autocast, repeats: int) -> dict[str, float]:
    """Measure forward, backward and optimizer step of the whole models."""
    plain = torch.autocast(imgs.device.type, enabled=False)
    steps = {name: training_step(model, imgs,
                                  plain if name == 'mmaction2' else autocast)
             for name, model in models.items()}
    times = time_interleaved(steps, max(repeats // 2, 1), warmup=1)
    result: dict[str, float] = {'train_videos': len(imgs)}
    for name, step in steps.items():
        result[f'{name}/step_ms'] = times[name]
        result[f'{name}/step_peak_mib'] = peak_mib(step, imgs.device)
        models[name].eval()
    for what in ('step_ms', 'step_peak_mib'):
        result[f'{what}_ratio'] = (
            result[f'clustered/{what}'] / result[f'unclustered/{what}'])
    if 'mmaction2' in models:
        result['step_times_mmaction2'] = times['mmaction2'] / times['clustered']
    return result


def training_step(model: nn.Module, imgs: Tensor,
                   autocast: torch.autocast) -> Callable[[], None]:
    """Put a model into training, and return what does one step of it."""
    model.train()
    # The captions of MMAction2's model have 77 tokens, whatever they say.
    tower = getattr(model, 'text_backbone', None)
    text = torch.ones(len(imgs), 77 if tower is None else tower.context_length,
                      dtype=torch.long, device=imgs.device)
    if tower is not None:
        text[:, -1] = tower.vocab_size - 1  # the end token
    optimizer = torch.optim.AdamW(
        (p for p in model.parameters() if p.requires_grad), lr=1e-9)

    def step() -> None:
        with torch.enable_grad(), autocast:
            losses = model(dict(imgs=imgs, text=text), mode='loss')
            loss, _ = model.parse_losses(losses)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
