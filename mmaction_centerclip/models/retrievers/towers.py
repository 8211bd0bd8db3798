"""Build a retriever's towers, and load the weights of a video tower of its own."""
import inspect

from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import nn

from mmaction_centerclip.clip.feature_settings import (
    check_settings,
    describe_settings,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import VideoTower, advise
from mmaction_centerclip.utils.files import read_checkpoint

__all__ = ['build_tower', 'load_tower_weights']


def build_tower(option: str, config: dict, kind: type, arch: str | dict) -> nn.Module:
    """Build a tower by its class, or by a function that picks the class."""
    name = config.get('type')
    build = MODELS.get(name) if isinstance(name, str) else name
    if inspect.isfunction(build) or inspect.isclass(build) and issubclass(build, kind):
        tower = MODELS.build({'arch': arch, **config})
        if isinstance(tower, kind):
            return tower
    is_known = build is not None or str(name).startswith('timm.')
    reason = f'; {advise(name)}' if kind is VideoTower and is_known else ''
    raise InputError(f'{option}: type must be a {kind.__name__}, got {name!r}{reason}')


def load_tower_weights(tower: nn.Module, path: str) -> None:
    """Load a video tower's weights, in place.

    Args:
        tower (VideoTower): Its necks keep, or repeat, their initialisation.
        path (str): A local file, with the tower's own keys, or with those under
            ``backbone.`` as in a recogniser's checkpoint, of which the rest is left
            out.
    """
    state, file, _ = read_checkpoint(path)
    settings = describe_settings(nn.ModuleDict(dict(backbone=tower)))
    check_settings(file, settings, f'video_pretrained={path!r}', starts=True)
    own = {key.removeprefix('backbone.'): value for key, value in state.items()
           if key.startswith('backbone.')} or state
    tower.load_pretrained(own, f'video_pretrained={path!r}')
    rest = sorted({key.split('.')[0] for key in state} - {'backbone'})
    left_out = f', without its {rest}' if len(own) < len(state) else ''
    print_log(f'Loaded the video tower, {type(tower).__name__}, from '
              f'{path}{left_out}.', 'current')
