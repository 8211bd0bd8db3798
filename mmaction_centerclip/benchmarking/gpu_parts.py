"""All that this project claims for a GPU, in parts of cases that may fail alone.

A part is a function that yields the name of each case, and what measures it.
A new part is one such function and one entry in ``PARTS`` and ``STAGES``.
"""
import contextlib
import runpy
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import torch
from filelock import FileLock
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import mmaction_centerclip  # noqa: F401  registers its models
from mmaction_centerclip.ops import kmedoids, spectral_clustering

from .compare import benchmark_pair
from .measure import time_interleaved
from .models import build_mmaction2, build_pair
from .recognizers import build_backbones

Row = dict[str, object]
Case = tuple[str, Callable[[], Row]]

_RETRIEVAL = 'configs/retrieval/centerclip/centerclip-'
_TINY = f'{_RETRIEVAL}b2-2-16_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py'
_CLIP = '-res224-clip-pre_'
CASES = {
    'ViT-B/32, 12 -> 3, 49': (
        f'{_RETRIEVAL}b6-3-49_vit-base-p32{_CLIP}2xb64-u12-5e_msrvtt-9k-rgb.py', 12),
    'ViT-B/16, 12 -> 4, 160': (
        f'{_RETRIEVAL}b6-4-160_vit-base-p16{_CLIP}8xb16-u12-5e_msrvtt-9k-rgb.py', 12),
    'ViT-B/32, 60 -> 12, 49': (
        f'{_RETRIEVAL}b6-12-49_vit-base-p32{_CLIP}8xb16-u60-8e_activitynet-rgb.py', 60),
}
"""Config and frames of each case of ``docs/performance.md``."""
NECKS = {'k-medoids++': 'TokenClustering', 'spectral': 'SpectralTokenClustering'}
DTYPES = ('float32', 'float16', 'bfloat16')


@dataclass(frozen=True)
class Settings:
    """Where and how large.

    Attributes:
        root (str): The folder with ``configs/`` and ``tests/``.
        device (str): Where to measure.
        dry_run (bool): Whether to run all in small, to see that it runs.
        lock (str): A file that is locked while something is timed, by
            parts that run at once; ``''`` for none.
    """
    root: str
    device: str = 'cuda'
    dry_run: bool = False
    lock: str = ''

    def pick(self, real: object, small: object) -> object:
        """Return what a run takes, or what a dry run does."""
        return small if self.dry_run else real

    def alone(self) -> contextlib.AbstractContextManager:
        """Return what keeps other parts from timing; entered any number of times."""
        return FileLock(self.lock) if self.lock else contextlib.nullcontext()

    def time(self, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
        """Return milliseconds of calls, in turns, while no other part does."""
        with self.alone():
            # Some solvers take seconds: as many calls as fit into a few of them.
            once = sum(time_interleaved(calls, 1, self.pick(2, 1)).values()) / 1e3
            repeats = self.pick(max(1, min(7, int(4 / once))), 1)
            return time_interleaved(calls, repeats, 0)


def checks(settings: Settings) -> Iterator[Case]:
    """Yield the tests that need a GPU, which need no pytest."""
    path = Path(settings.root, 'tests/gpu_checks.py')
    if not path.is_file():
        raise FileNotFoundError(f'{path}: run the tool of a checkout, with its tests')
    for name, check in runpy.run_path(str(path))['CHECKS'].items():
        yield name, partial(_check, check, settings.device)


def _check(check: Callable[[str], None], device: str) -> Row:
    check(device)
    return dict(result='passed')


# Problems, tokens and centers of one video, and of 32, of each of CASES.
_PROBLEMS = tuple(
    (videos * segments, tokens, centers)
    for segments, tokens, centers in ((3, 196, 49), (4, 588, 160), (12, 245, 49))
    for videos in (1, 32))


def clusterings(settings: Settings, ways: dict[str, Callable]) -> Iterator[Case]:
    """Yield two ways to cluster, one beside the other."""
    for sizes in settings.pick(_PROBLEMS, ((2, 20, 4), )):
        yield '{} x {}, {}'.format(*sizes), partial(_compare, settings, ways, sizes)


def _compare(settings: Settings, ways: dict[str, Callable],
             sizes: tuple[int, int, int]) -> Row:
    """Return the times of two ways to cluster, and how many problems agree."""
    x = _clustered(settings, *sizes)
    calls = {name: partial(way, x, sizes[-1]) for name, way in ways.items()}
    results = [call() for call in calls.values()]
    same = torch.stack([(a == b).all(dim=1) for a, b in zip(*results)]).all(dim=0)
    times = settings.time(calls)
    first, second = times.values()
    return {**{f'{name}, ms': value for name, value in times.items()},
            'times': second / first,
            'same result, %': 100 * same.double().mean().item()}


def _clustered(settings: Settings, count: int, tokens: int, centers: int) -> Tensor:
    """Make tokens (count, tokens, C) that lie around as many points as centers."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(count, centers, settings.pick(768, 16), generator=generator)
    x = points[:, torch.arange(tokens) % centers]
    return (x + 0.5 * torch.randn(x.shape, generator=generator)).to(settings.device)


@lru_cache(maxsize=1)
def _pair(settings: Settings, case: str, neck: str) -> tuple[nn.Module, nn.Module]:
    """Build a case's model and the same without necks, until the next one's turn."""
    cfg = Config.fromfile(Path(settings.root, settings.pick(CASES[case][0], _TINY)))
    only, = cfg.model.backbone.necks
    only.type = NECKS[neck]
    return build_pair(cfg, settings.device)


def _frames(settings: Settings, case: str, videos: int, model: nn.Module) -> Tensor:
    frames, size = settings.pick(CASES[case][1], 8), model.backbone.image_size[0]
    return torch.randn(videos, frames, 3, size, size, device=settings.device)


def towers(settings: Settings, dtypes: tuple[str, ...] = DTYPES,
           compile: bool = False) -> Iterator[Case]:
    """Yield the vision towers with necks beside the same without."""
    for neck in NECKS:
        for case in list(CASES)[:settings.pick(3, 1)]:
            for dtype in dtypes:
                for videos in settings.pick((1, 32), (2, )):
                    yield (f'{case}, {neck}, {dtype}, {videos} videos', partial(
                        _tower, settings, case, neck, dtype, videos, compile))


def _tower(settings: Settings, case: str, neck: str, dtype: str, videos: int,
           compile: bool) -> Row:
    pair = _pair(settings, case, neck)
    row = benchmark_pair(
        *pair, _frames(settings, case, videos, pair[0]), getattr(torch, dtype), compile,
        settings.pick(7, 1), backend=settings.pick('inductor', 'eager'),
        alone=settings.alone())
    cold = row['clustered/cold_ms'] * videos / 1e3
    return {'GMACs/video': row['clustered/gmacs'], 'ms/video': row['clustered/ms'],
            'un-clustered ms': row['unclustered/ms'],
            'multiply-add ratio': row['mac_ratio'], 'time ratio': row['time_ratio'],
            'time / multiply-add ratio': row['time_ratio'] / row['mac_ratio'],
            'clustering, %': 100 * row['clustering_share'],
            'peak, MiB': row['clustered/peak_mib'], 'first call, s': cold}


def training(settings: Settings) -> Iterator[Case]:
    """Yield training steps, with AdamW, of whole models with and without necks."""
    for case in list(CASES)[:settings.pick(2, 1)]:
        for dtype in DTYPES:
            for videos in settings.pick((2, 16), (2, )):
                yield (f'{case}, {dtype}, {videos} videos',
                       partial(_step, settings, case, dtype, videos))


def _step(settings: Settings, case: str, dtype: str, videos: int) -> Row:
    pair = _pair(settings, case, 'k-medoids++')
    imgs = _frames(settings, case, videos, pair[0])
    row = benchmark_pair(*pair, imgs[:1], getattr(torch, dtype), False,
                         settings.pick(7, 1), imgs, alone=settings.alone())
    return {'step, ms': row['clustered/step_ms'],
            'un-clustered, ms': row['unclustered/step_ms'],
            'time of un-clustered': row['step_ms_ratio'],
            'peak, MiB': row['clustered/step_peak_mib'],
            'memory of un-clustered': row['step_peak_mib_ratio']}


def stock_zoo(settings: Settings) -> Iterator[Case]:
    """Yield the zoo's own models beside ours."""
    for videos in settings.pick((1, 32), (1, )):
        yield f'VideoMAE, {videos} clips', partial(_videomae, settings, videos)
    for videos in settings.pick((1, 32), (1, )):
        yield f'CLIPSimilarity, {videos} videos', partial(_clip4clip, settings, videos)


def _videomae(settings: Settings, videos: int) -> Row:
    name, size, frames = settings.pick(
        ('vit-base-p16-b4-4-196_videomae-k400-pre_16x4x1_kinetics-400.py', 224, 16),
        ('vit-tiny-p16-res64-b2-2-16_8x1x1_1xb72-20e_shapes-color-rgb.py', 64, 8))
    models = build_backbones(Config.fromfile(
        Path(settings.root, 'configs/recognition/videomae', name)))
    clips = torch.randn(videos, 3, frames, size, size, device=settings.device)
    times = settings.time({key: partial(model.to(settings.device), clips)
                           for key, model in models.items()})
    return _beside_the_zoo(*(times[key] / videos for key in (
        'stock', 'unclustered', 'clustered')))


def _clip4clip(settings: Settings, videos: int) -> Row:
    mmaction2 = build_mmaction2(settings.device).eval()
    # In a dry run too: the zoo's has one size.
    pair = _pair(replace(settings, dry_run=False), next(iter(CASES)), 'k-medoids++')
    imgs = torch.randn(videos, 12, 3, 224, 224, device=settings.device)
    row = benchmark_pair(*pair, imgs, repeats=settings.pick(7, 1), mmaction2=mmaction2,
                         alone=settings.alone())
    return _beside_the_zoo(*(row[f'{key}/ms'] for key in (
        'mmaction2', 'unclustered', 'clustered')))


def _beside_the_zoo(stock: float, unclustered: float, clustered: float) -> Row:
    return {'zoo, ms/video': stock, 'ours un-clustered, ms/video': unclustered,
            'ours, ms/video': clustered, 'times the zoo': stock / clustered}


def processes(settings: Settings) -> Iterator[Case]:
    """Yield two processes on one device, joined by gloo, beside one process."""
    yield 'gradients of two processes and of one', partial(_two_processes, settings)


def _two_processes(settings: Settings) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _worker(0, 1, folder, settings)
        try:
            torch.multiprocessing.spawn(_worker, (2, folder, settings), nprocs=2)
        except Exception as error:
            # Its first line says which process, its last one why.
            raise RuntimeError(str(error).strip().splitlines()[-1]) from error
        seconds = time.perf_counter() - start
        one, *two = (torch.load(Path(folder, name)) for name in ('1-0', '2-0', '2-1'))
    difference = torch.stack([
        (grad - each['grads'][name]).norm() / one['norm']
        for each in two for name, grad in one['grads'].items()]).max().item()
    if not difference <= 1e-5:  # nor NaN
        raise AssertionError(f'gradients differ by {difference:.2g} of their norm')
    return {'largest difference / norm': difference, 'loss of one': one['loss'],
            'loss of two': two[0]['loss'], 'seconds': seconds}


def _worker(rank: int, world: int, folder: str, settings: Settings) -> None:
    """Save a tiny model's gradients, in float64, where rounding decides nothing."""
    init_default_scope('mmaction')
    torch.manual_seed(0)
    cfg = Config.fromfile(Path(settings.root, _TINY))
    model = MODELS.build(cfg.model).double().to(settings.device)
    imgs = torch.randn(4, 8, 3, 64, 64, dtype=torch.float64)
    text = torch.randint(1, 999, (4, model.text_backbone.context_length))
    text[:, -1] = model.text_backbone.vocab_size - 1
    inputs = {name: x[rank::world].to(settings.device)
              for name, x in dict(imgs=imgs, text=text).items()}
    if world > 1:
        torch.distributed.init_process_group(
            'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world)
    wrapped = model if world == 1 else MMDistributedDataParallel(
        model, broadcast_buffers=False)
    loss, _ = model.parse_losses(wrapped(inputs, mode='loss'))
    loss.backward()
    grads = {name: p.grad.cpu() for name, p in model.named_parameters()}
    norm = torch.stack([grad.norm() for grad in grads.values()]).norm()
    torch.save(dict(loss=loss.item(), grads=grads, norm=norm),
               Path(folder, f'{world}-{rank}'))
    if world > 1:
        torch.distributed.destroy_process_group()


PARTS: dict[str, Callable[[Settings], Iterator[Case]]] = {
    'tests': checks,
    'fused k-medoids': partial(clusterings, ways={
        name: partial(kmedoids, backend=name) for name in ('triton', 'torch')}),
    'spectral': partial(clusterings, ways={
        'eigh': partial(spectral_clustering, sigma='auto')}),
    'towers': towers,
    'training': training,
    'stock zoo': stock_zoo,
    'two processes': processes,
    **{f'compiled {dtype}': partial(towers, dtypes=(dtype, ), compile=True)
       for dtype in DTYPES},
}
STAGES = ((2, ('tests', )), (1, ('fused k-medoids', )), (1, ('spectral', )),
          (4, ('towers', )), (2, ('training', )), (1, ('stock zoo', )),
          (2, ('two processes', )),
          (8, tuple(f'compiled {dtype}' for dtype in DTYPES)))
"""Shares of the time, and the parts that have each; only compiling is done at once."""
