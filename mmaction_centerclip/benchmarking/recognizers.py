"""Measure a recogniser's backbone beside the same without necks, and the zoo's."""
import copy
import time
from functools import partial

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTower

from .measure import count_macs, time_interleaved

__all__ = ['benchmark_backbones', 'build_backbones']


def build_backbones(cfg: Config) -> dict[str, nn.Module]:
    """Build a recogniser's backbone, the same without necks, and the stock one.

    Args:
        cfg (Config): Whose backbone is a host over a class of the zoo's.

    Returns:
        dict[str, nn.Module]: ``clustered``, ``unclustered`` and ``stock``, of
        random weights, the same in all three.

    Raises:
        InputError: If the backbone is no such host, or has no neck.
    """
    config = copy.deepcopy(cfg.model.backbone)
    host = MODELS.get(config.type)
    if host is None or not issubclass(host, VideoTower) or not config.get('necks'):
        raise InputError(f'{cfg.filename}: backbone must be a video tower with necks, '
                         f'such as VideoMAETower, got {config.type!r}')
    if config.get('pretrained'):
        config.pretrained = None
    clustered = MODELS.build(config).eval()
    config.pop('necks')
    unclustered = MODELS.build(config).eval()
    bases = host.__mro__
    config.type = bases[bases.index(VideoTower) + 1]
    stock = MODELS.build(config).eval()
    weights = stock.state_dict()
    clustered.load_state_dict(weights, strict=False)
    unclustered.load_state_dict(weights)
    return dict(clustered=clustered, unclustered=unclustered, stock=stock)


def benchmark_backbones(models: dict[str, nn.Module], clips: Tensor,
                        repeats: int = 7) -> dict[str, float]:
    """Measure the three backbones in turns, without gradients.

    Args:
        models (dict[str, nn.Module]): From :func:`build_backbones`, on the CPU.
        clips (Tensor): Normalised frames, shape (B, 3, T, H, W).
        repeats (int): Timed calls of each. Defaults to 7.

    Returns:
        dict[str, float]: GMACs and milliseconds of CPU time a clip of each,
        ``mac_ratio`` and ``time_ratio`` of the clustered to the un-clustered
        one, and ``host_ratio`` of the latter's time to the stock one's.

    Raises:
        InputError: If torch has more than one thread, whose time would be
            counted twice, or the host's output is not the stock one's.
    """
    if torch.get_num_threads() != 1:
        raise InputError('CPU time is comparable on one thread only, got '
                         f'{torch.get_num_threads()}; write torch.set_num_threads(1)')
    calls = {name: partial(model, clips) for name, model in models.items()}
    with torch.no_grad():
        if not torch.equal(calls['unclustered'](), calls['stock']()):
            raise InputError('the host without necks gives another output than the '
                             'stock backbone')
    times = time_interleaved(calls, repeats, warmup=1, clock=time.process_time)
    result: dict[str, float] = {}
    for name, model in models.items():
        result[f'{name}/gmacs'] = count_macs(partial(model, clips[:1])) / 1e9
        result[f'{name}/ms'] = times[name] / len(clips)
    result['mac_ratio'] = result['clustered/gmacs'] / result['unclustered/gmacs']
    result['time_ratio'] = times['clustered'] / times['unclustered']
    result['host_ratio'] = times['unclustered'] / times['stock']
    return result
