"""Find the host of a model, or say why there is none."""
import inspect

from mmaction.registry import MODELS

from mmaction_centerclip.clip.arch import vision_tower_type, why_unsuited
from mmaction_centerclip.errors import InputError

from .video_tower import VideoTower


def check_host(config: dict) -> None:
    """Refuse necks between the blocks of a backbone that is no host."""
    kind = config.get('type')
    if 'necks' in config and not is_host(kind):
        raise InputError(f'backbone: {advise(kind)}')


def advise(kind: str | type) -> str:
    """Suggest the host for an unsupported backbone, or say why there is none."""
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', repr(kind))
    if name.startswith('timm.'):
        return (f"{name} takes no necks; write dict(type='TimmVisionTower', "
                f"model_name={name[5:]!r}), in a recogniser as the tower of a "
                'VideoTowerBackbone')
    for host in MODELS.module_dict.values():
        if is_host(host) and getattr(host, 'hosts', None) == name:
            return f"{name} takes no necks, write type='{host.__name__}'"
    return f'{name} takes no necks: {why_unsuited(name)}'


def is_host(kind: str | type | None) -> bool:
    """Return whether a backbone, or a function that picks one, is a host."""
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    return inspect.isfunction(cls) or (
        isinstance(cls, type) and issubclass(cls, VideoTower))


@MODELS.register_module('OpenCLIPVisionTower')
def open_clip_vision_tower(arch: str | dict, **options) -> VideoTower:
    """Build the video tower of any model of open_clip that necks fit.

    A :class:`CLIPVisionTower` or a :class:`CLIPTimmVisionTower`, as ``arch`` needs.
    """
    name = vision_tower_type(arch)
    tower = MODELS.get(name)
    known = list(inspect.signature(tower).parameters)[1:]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise InputError(f'arch {arch!r}: its vision tower, a {name}, has the options '
                         f'{known}, got {unknown}')
    return tower(arch, **options)
