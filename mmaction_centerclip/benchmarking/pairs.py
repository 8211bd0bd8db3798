"""Measure a model beside the same without necks: the one way to time a pair."""
import contextlib
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, check_choice, check_positive_int
from mmaction_centerclip.evaluation import (
    RetrievalFeatures,
    choose_scorer,
    evaluate_features,
)
from mmaction_centerclip.models import VideoTower

from .measure import Call, count_macs, median_ratio, peak_mib, time_turns

PRICES = {'tower': '', 'evaluation': 'eval_', 'step': 'step_'}
"""The calls that can be timed, and how the names of their figures begin."""
STEPS = 4  # times as many calls of the others as training steps, which take longer


def measure_pair(
    model: nn.Module, twin: nn.Module, inputs: dict[str, Tensor],
    prices: Sequence[str] = ('tower', ), repeats: int = 40,
    clock: Callable[[], float] = time.perf_counter, *, zoo: nn.Module | None = None,
    dtype: torch.dtype = torch.float32, backend: str | None = None,
) -> dict[str, float]:
    """Count and time a model beside the same without necks, in turns.

    A ratio is the median of the ratios of calls of the same turn. Both models are
    copied, so that what a training step does to them stays here. ``'tower'`` is the
    encoding of the videos; of a retriever, ``'evaluation'`` goes from frames in memory
    to recalls, and ``'step'`` trains with AdamW, a quarter of ``repeats`` times. The
    ``zoo``'s own backbone is encoded beside them. ``inputs`` are normalised ``imgs``
    (B, T, 3, H, W), and maybe ``frame_mask`` (B, T); ``backend`` is that of
    ``torch.compile`` for the encoding.

    Returns:
        ``gmacs`` a video and ``mac_ratio``; of the tower ``ms`` a video, ``twin_ms``,
        ``time_ratio``, ``mib`` (eager, at the peak) and ``mib_ratio``; likewise
        ``eval_ms`` and so on; compiled, ``cold_ms`` of the first call, with the
        compilation that is new; with ``zoo``, ``zoo_ms`` and ``zoo_ratio`` of the
        twin's time to the zoo's.
    """
    for price in prices:
        check_choice('prices', price, PRICES)
    check_positive_int('repeats', repeats)
    if {*prices} - {'tower'} and not hasattr(model, 'encode_video'):
        raise InputError('evaluation and training step are measured of retrievers, '
                         f'got a {type(model).__name__}')
    models = dict(model=copy.deepcopy(model).eval(), twin=copy.deepcopy(twin).eval())
    macs = {name: count_macs(encoding(each, inputs)) for name, each in models.items()}
    figures = dict(gmacs=macs['model'] / len(inputs['imgs']) / 1e9,
                   mac_ratio=macs['model'] / macs['twin'])
    if zoo is not None:
        models['zoo'] = zoo.eval()
    autocast = torch.autocast(inputs['imgs'].device.type, dtype,
                              enabled=dtype != torch.float32)
    make = dict(tower=lambda model: autocast(encoding(model, inputs)),
                evaluation=lambda model: autocast(_evaluation(model, inputs)),
                step=lambda model: training_step(model, inputs, autocast))
    for price, start in PRICES.items():
        if price not in prices:
            continue
        calls = {name: make[price](each) for name, each in models.items()
                 if price == 'tower' or name != 'zoo'}
        with _compiled([models['model'], models['twin']], backend):
            found = _time(calls, -(-repeats // (STEPS if price == 'step' else 1)),
                          clock, len(inputs['imgs']), backend is not None)
        figures[f'{start or "time_"}ratio'] = found.pop('ratio')
        figures.update((start + name, value) for name, value in found.items())
        with torch.no_grad():
            peaks = [peak_mib(calls[name], inputs['imgs'].device)
                     for name in ('model', 'twin')]
        figures[f'{start}mib'] = peaks[0]
        figures[f'{start}mib_ratio'] = peaks[0] / peaks[1]
    return figures


def _time(calls: dict[str, Call], repeats: int, clock: Callable[[], float],
          videos: int, cold: bool) -> dict[str, float]:
    """Return milliseconds a video, and ratios of calls of the same turn."""
    found = {}
    if cold:
        first = time_turns(dict(first=calls['model']), 1, 0, clock)['first']
        found['cold_ms'] = first[0] / videos
    times = time_turns(calls, repeats, 2, clock)
    found.update(ms=statistics.median(times['model']) / videos,
                 twin_ms=statistics.median(times['twin']) / videos,
                 ratio=median_ratio(times['model'], times['twin']))
    if 'zoo' in times:
        found.update(zoo_ms=statistics.median(times['zoo']) / videos,
                     zoo_ratio=median_ratio(times['twin'], times['zoo']))
    return found


@contextlib.contextmanager
def _compiled(models: Sequence[nn.Module], backend: str | None) -> Iterator[None]:
    """Compile what encodes videos inside, unless there is no backend."""
    if backend is None:
        yield
        return
    # What was compiled before counts against a limit, beyond which torch runs
    # eagerly, with no more than a line in a log.
    torch.compiler.reset()
    places = [_encoder(model) for model in models]
    for owner, name in places:
        setattr(owner, name, torch.compile(getattr(owner, name), backend=backend))
    try:
        yield
    finally:
        for owner, name in places:
            delattr(owner, name)


def _encoder(model: nn.Module) -> tuple[nn.Module, str]:
    """Return whose method of which name encodes videos."""
    if hasattr(model, 'encode_video'):
        return model, 'encode_video'
    if isinstance(model, VideoTower) and not hasattr(model, 'backbone'):
        return model, 'encode'
    return getattr(model, 'backbone', model), 'forward'


def encoding(model: nn.Module, inputs: dict[str, Tensor]) -> Call:
    """Return a function that encodes videos, by any model or backbone, without head."""
    owner, name = _encoder(model)
    argument = inputs if name == 'encode_video' else inputs['imgs']
    if name == 'forward':
        argument = argument.transpose(1, 2)
    # Looked up at each call: it may have been compiled meanwhile.
    return lambda: getattr(owner, name)(argument)


def _evaluation(model: nn.Module, inputs: dict[str, Tensor]) -> Call:
    """Return a function that encodes videos and captions, and ranks them."""
    model.eval()
    text, count = _captions(model, inputs['imgs']), len(inputs['imgs'])
    names = [str(number) for number in range(count)]

    def run() -> dict[str, float]:
        video = model.head.video_features(*model.encode_video(inputs))
        texts = model.head.text_features(model.text_backbone(text))
        video, texts = ({name: x.float().cpu() for name, x in features.items()}
                        for features in (video, texts))
        features = RetrievalFeatures(video, texts, torch.arange(count), names, names)
        return evaluate_features(features, choose_scorer(features, model.head))

    return run


def training_step(model: nn.Module, inputs: dict[str, Tensor],
                  autocast: contextlib.AbstractContextManager | None = None) -> Call:
    """Put a retriever into training, and return a function that trains one step.

    Captions are made up, and the tiny rate leaves the weights, but for rounding.
    """
    model.train()
    autocast = autocast or contextlib.nullcontext()
    inputs = dict(inputs, text=_captions(model, inputs['imgs']))
    optimizer = torch.optim.AdamW(
        (p for p in model.parameters() if p.requires_grad), lr=1e-9)

    def step() -> None:
        with torch.enable_grad(), autocast:
            loss, _ = model.parse_losses(model(inputs, mode='loss'))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _captions(model: nn.Module, imgs: Tensor) -> Tensor:
    """Return token ids (B, L) of a caption each, as long as the model takes."""
    tower = model.text_backbone
    text = torch.ones(len(imgs), tower.context_length, dtype=torch.long,
                      device=imgs.device)
    text[:, -1] = tower.vocab_size - 1  # the end token
    return text
