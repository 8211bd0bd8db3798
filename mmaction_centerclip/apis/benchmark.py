"""A config beside its un-clustered twin: time, memory, multiply-adds."""
import contextlib
import copy
import time
from collections.abc import Callable
from pathlib import Path

import decord
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

from .measure import count_macs, time_interleaved
from .peak_memory import PeakMemory

__all__ = ['benchmark_pair', 'build_pair', 'read_frames']


def build_pair(cfg: Config, device: str = 'cpu') -> tuple[nn.Module, nn.Module]:
    """A config's model from scratch, and the same without its necks.

    Args:
        cfg (Config): Of a retriever.
        device (str): Defaults to ``'cpu'``.

    Raises:
        InputError: If the config has no neck.
    """
    if not cfg.model.backbone.get('necks'):
        raise InputError(f'{cfg.filename}: the model has no neck, so there is '
                         'nothing to compare; give a config of CenterCLIP')
    cfg.model.pretrained = None
    model = MODELS.build(cfg.model)
    plain = copy.deepcopy(cfg.model)
    plain.backbone.necks = []
    twin = MODELS.build(plain)
    twin.load_state_dict(model.state_dict(), strict=False)
    return model.to(device), twin.to(device)


def read_frames(folder: str, videos: int, frames: int, size: int) -> Tensor:
    """Frames of real clips, normalised as CLIP's, (B, T, 3, H, W).

    Clips are used in turn, each time from another start.

    Args:
        folder (str): With video files.
        videos (int): B.
        frames (int): T.
        size (int): H and W.

    Raises:
        InputError: If there is no video file.
    """
    paths = sorted(path for path in Path(folder).glob('*')
                   if path.suffix in ('.mp4', '.avi', '.mkv', '.webm'))
    if not paths:
        raise InputError(f'{folder}: no video file (.mp4, .avi, .mkv, .webm)')
    clips = []
    for number in range(videos):
        reader = decord.VideoReader(
            str(paths[number % len(paths)]), width=size, height=size)
        start = 3 * (number // len(paths)) % max(len(reader) // 2, 1)
        steps = torch.linspace(start, len(reader) - 1, frames).long().tolist()
        clips.append(torch.from_numpy(reader.get_batch(steps).asnumpy()))
    imgs = torch.stack(clips).permute(0, 1, 4, 2, 3).float()
    mean = torch.tensor([122.771, 116.746, 104.093]).view(3, 1, 1)
    std = torch.tensor([68.500, 66.632, 70.323]).view(3, 1, 1)
    return (imgs - mean) / std


def benchmark_pair(model: nn.Module,
                   twin: nn.Module,
                   imgs: Tensor,
                   dtype: torch.dtype = torch.float32,
                   compile: bool = False,
                   repeats: int = 7,
                   train_videos: int = 0) -> dict[str, float]:
    """Measure a model and its twin in turns.

    Args:
        model (nn.Module): With necks.
        twin (nn.Module): Without.
        imgs (Tensor): Frames, shape (B, T, 3, H, W), on the models' device.
        dtype (torch.dtype): Autocast to it unless it is float32.
            Defaults to torch.float32.
        compile (bool): Whether to ``torch.compile`` both vision towers.
            Defaults to False.
        repeats (int): Timed calls of each. Defaults to 7.
        train_videos (int): Videos of a training step; 0 for none.
            Defaults to 0.

    Returns:
        dict[str, float]: GMACs and milliseconds per video of the vision
        tower, their ratios to the twin's, the clustering's share of the time,
        videos per second, and peak memory in MiB; of a training step, of the
        whole model, milliseconds and peak memory.
    """
    videos = len(imgs)
    pair = dict(clustered=model.eval(), twin=twin.eval())
    autocast = _autocast(imgs.device, dtype)
    towers = {
        name: torch.compile(m.backbone) if compile else m.backbone
        for name, m in pair.items()
    }

    def encode(name: str) -> Callable[[], object]:

        def call() -> object:
            with autocast():
                return towers[name](imgs)

        return call

    result: dict[str, float] = {'videos': videos}
    calls = {name: encode(name) for name in towers}
    times = time_interleaved(calls, repeats, warmup=2)
    macs = {name: count_macs(lambda m=m: m.backbone(imgs[:1]))
            for name, m in pair.items()}
    for name in pair:
        result[f'{name}/gmacs'] = macs[name] / 1e9
        result[f'{name}/ms'] = times[name] / videos
        result[f'{name}/videos_per_s'] = 1e3 * videos / times[name]
        with torch.no_grad():
            result[f'{name}/peak_mib'] = _peak(
                imgs.device, lambda m=pair[name]: _under(autocast, m.backbone, imgs))
    result['mac_ratio'] = macs['clustered'] / macs['twin']
    result['time_ratio'] = times['clustered'] / times['twin']
    result['clustering_share'] = _clustering_share(
        model, lambda: _under(autocast, model.backbone, imgs), repeats)
    if train_videos:
        result.update(_training(pair, imgs[:train_videos], autocast, repeats))
    return result


def _under(context, function: Callable, *args):
    with context():
        return function(*args)


def _autocast(device: torch.device, dtype: torch.dtype):
    if dtype == torch.float32:
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=dtype)


def _clustering_share(model: nn.Module, call: Callable, repeats: int) -> float:
    """The median share of the time that goes to the necks."""
    spent, starts = [0.0], []

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def before(*args) -> None:
        starts.append(now())

    def after(*args) -> None:
        spent[0] += now() - starts.pop()

    hooks = [
        hook for neck in model.backbone.necks
        for hook in (neck.register_forward_pre_hook(before),
                     neck.register_forward_hook(after))
    ]
    shares = []
    with torch.no_grad():
        for _ in range(repeats):
            spent[0], start = 0.0, now()
            call()
            shares.append(spent[0] / (now() - start))
    for hook in hooks:
        hook.remove()
    return sorted(shares)[len(shares) // 2]


def _peak(device: torch.device, call: Callable) -> float:
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - start) / 2**20
    with PeakMemory() as memory:
        call()
    return memory.peak / 2**20


def _training(pair: dict[str, nn.Module], imgs: Tensor, autocast: Callable,
              repeats: int) -> dict[str, float]:
    """Time and memory of forward, backward and step of the whole model."""
    steps = {}
    for name, model in pair.items():
        model.train()
        text = torch.ones(
            len(imgs),
            model.text_backbone.context_length,
            dtype=torch.long,
            device=imgs.device)
        optimizer = torch.optim.AdamW(
            (p for p in model.parameters() if p.requires_grad), lr=1e-9)

        def step(model=model, optimizer=optimizer, text=text) -> None:
            with torch.enable_grad(), autocast():
                losses = model(dict(imgs=imgs, text=text), mode='loss')
                loss = losses['loss_t2v'] + losses['loss_v2t']
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        steps[name] = step
    times = time_interleaved(steps, max(repeats // 2, 1), warmup=1)
    result = {'train_videos': len(imgs)}
    for name, step in steps.items():
        result[f'{name}/step_ms'] = times[name]
        result[f'{name}/step_peak_mib'] = _peak(imgs.device, step)
        pair[name].eval()
    for what in ('step_ms', 'step_peak_mib'):
        result[f'{what}_ratio'] = result[f'clustered/{what}'] / result[
            f'twin/{what}']
    return result
