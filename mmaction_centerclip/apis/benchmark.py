"""A config beside its un-clustered twin: time, memory, multiply-adds."""
import contextlib
import copy
import time
import unittest.mock
from collections.abc import Callable, Iterator
from pathlib import Path

import decord
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

from .measure import count_macs, time_interleaved
from .peak_memory import PeakMemory

__all__ = [
    'STOCK_CONFIG', 'benchmark_pair', 'build_pair', 'build_stock',
    'read_frames', 'stock_weights', 'video_files'
]

STOCK_CONFIG = ('mmaction::retrieval/clip4clip/clip4clip_vit-base-p32-res224-'
                'clip-pre_8xb16-u12-5e_msrvtt-9k-rgb.py')


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


@contextlib.contextmanager
def stock_weights() -> Iterator[None]:
    """Let the zoo's ``CLIPSimilarity`` start from random weights.

    It downloads OpenAI's otherwise. Inside, ``clip.load`` makes a ViT-B/32.

    Raises:
        InputError: If ``openai-clip``, which it is made of, is missing.
    """
    try:
        import clip
        from clip.model import CLIP
    except ImportError as error:
        raise InputError("MMAction2's CLIPSimilarity needs the package "
                         f'openai-clip, which cannot be imported: {error}'
                         ) from None
    # ViT-B/32 by its sizes: embedding, pixels, layers, width and patch of the
    # image tower; context, vocabulary, width, heads and layers of the text's.
    sizes = (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
    with unittest.mock.patch.object(
            clip, 'load', lambda *args, **kwargs: (CLIP(*sizes), None)):
        yield


def build_stock(device: str = 'cpu') -> nn.Module:
    """The zoo's own CLIP4Clip, as its config ships, with random weights.

    Args:
        device (str): Defaults to ``'cpu'``.

    Raises:
        InputError: See :func:`stock_weights`.
    """
    with stock_weights(), DefaultScope.overwrite_default_scope('mmaction'):
        return MODELS.build(get_config(STOCK_CONFIG).model).to(device)


def video_files(folder: str | Path) -> list[Path]:
    """The video files in a folder, by name.

    Raises:
        InputError: If there is none.
    """
    paths = sorted(path for path in Path(folder).glob('*')
                   if path.suffix in ('.mp4', '.avi', '.mkv', '.webm'))
    if not paths:
        raise InputError(f'{folder}: no video file (.mp4, .avi, .mkv, .webm)')
    return paths


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
    paths = video_files(folder)
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
                   train_imgs: Tensor | None = None,
                   stock: nn.Module | None = None) -> dict[str, float]:
    """Measure a model, its twin and the stock zoo's model in turns.

    Args:
        model (nn.Module): With necks.
        twin (nn.Module): Without.
        imgs (Tensor): Frames, shape (B, T, 3, H, W), on the models' device.
        dtype (torch.dtype): Autocast to it unless it is float32.
            Defaults to torch.float32.
        compile (bool): Whether to ``torch.compile`` both vision towers.
            Defaults to False.
        repeats (int): Timed calls of each. Defaults to 7.
        train_imgs (Tensor, optional): Frames of a training step.
            Defaults to None: no step is measured.
        stock (nn.Module, optional): From :func:`build_stock`; it runs as it
            ships, in float32 and eager. Defaults to None.

    Returns:
        dict[str, float]: GMACs and milliseconds per video of the vision
        tower, their ratios to the twin's, the clustering's share of the time,
        videos per second, and peak memory in MiB; of a training step, of the
        whole model, milliseconds and peak memory; and how many times the
        stock model's speed that is, if it is there.
    """
    models = dict(clustered=model.eval(), twin=twin.eval())
    autocast = _autocast(imgs.device, dtype)
    eager = {name: m.backbone for name, m in models.items()}
    towers = {n: torch.compile(m) for n, m in eager.items()} if compile else eager
    calls = {
        name: lambda tower=tower: _under(autocast, tower, imgs)
        for name, tower in towers.items()
    }
    if stock is not None:
        stock.eval()  # Its train(), unlike torch's, returns nothing.
        models['stock'] = stock
        eager['stock'] = stock.encode_video
        calls['stock'] = lambda: stock.encode_video(imgs)

    videos = len(imgs)
    result: dict[str, float] = {'videos': videos}
    times = time_interleaved(calls, repeats, warmup=2)
    for name, call in calls.items():
        result[f'{name}/gmacs'] = count_macs(
            lambda name=name: eager[name](imgs[:1])) / 1e9
        result[f'{name}/ms'] = times[name] / videos
        result[f'{name}/videos_per_s'] = 1e3 * videos / times[name]
        with torch.no_grad():
            result[f'{name}/peak_mib'] = _peak(imgs.device, call)
    result['mac_ratio'] = result['clustered/gmacs'] / result['twin/gmacs']
    result['time_ratio'] = times['clustered'] / times['twin']
    result['clustering_share'] = _clustering_share(
        model, lambda: _under(autocast, model.backbone, imgs), repeats)
    if stock is not None:
        result['times_stock'] = times['stock'] / times['clustered']
    if train_imgs is not None:
        result.update(_training(models, train_imgs, autocast, repeats))
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


def _training(models: dict[str, nn.Module], imgs: Tensor, autocast: Callable,
              repeats: int) -> dict[str, float]:
    """Time and memory of forward, backward and step of the whole model."""
    steps = {}
    for name, model in models.items():
        model.train()
        # The stock model's captions have 77 tokens, whatever they say.
        text = getattr(model, 'text_backbone', None)
        text = torch.ones(
            len(imgs),
            77 if text is None else text.context_length,
            dtype=torch.long,
            device=imgs.device)
        context = contextlib.nullcontext if name == 'stock' else autocast
        optimizer = torch.optim.AdamW(
            (p for p in model.parameters() if p.requires_grad), lr=1e-9)

        def step(model=model, optimizer=optimizer, text=text,
                 context=context) -> None:
            with torch.enable_grad(), context():
                losses = model(dict(imgs=imgs, text=text), mode='loss')
                loss, _ = model.parse_losses(losses)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        steps[name] = step
    times = time_interleaved(steps, max(repeats // 2, 1), warmup=1)
    result = {'train_videos': len(imgs)}
    for name, step in steps.items():
        result[f'{name}/step_ms'] = times[name]
        result[f'{name}/step_peak_mib'] = _peak(imgs.device, step)
        models[name].eval()
    for what in ('step_ms', 'step_peak_mib'):
        result[f'{what}_ratio'] = result[f'clustered/{what}'] / result[
            f'twin/{what}']
    if 'stock' in models:
        result['step_times_stock'] = result['stock/step_ms'] / result[
            'clustered/step_ms']
    return result
