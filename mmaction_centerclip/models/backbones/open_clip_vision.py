"""Pick the video tower of one of open_clip's models by its name."""
import inspect

from mmaction.registry import MODELS

from mmaction_centerclip.clip.arch import vision_tower_type
from mmaction_centerclip.errors import InputError

from .video_tower import VideoTower

__all__ = ['open_clip_vision_tower']


@MODELS.register_module('OpenCLIPVisionTower')
def open_clip_vision_tower(arch: str | dict, **options) -> VideoTower:
    """Build the video tower of any model of open_clip that necks fit.

    So a config says by its model's ``arch`` alone which tower it has.

    Args:
        arch (str | dict): A name of ``open_clip.list_models()``, or a dict of sizes,
            see :func:`clip_config`.
        **options: Of the tower: ``necks``, ``with_cp``, and what else
            :class:`CLIPVisionTower` or :class:`CLIPTimmVisionTower` takes.

    Returns:
        VideoTower: One of those.

    Examples:
        >>> from mmaction.registry import MODELS
        >>> tower = MODELS.build(
        ...     dict(type='OpenCLIPVisionTower', arch='PE-Core-T-16-384'))
        >>> type(tower).__name__
        'CLIPTimmVisionTower'
    """
    name = vision_tower_type(arch)
    tower = MODELS.get(name)
    known = list(inspect.signature(tower).parameters)[1:]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise InputError(f'arch {arch!r}: its vision tower, a {name}, has the options '
                         f'{known}, got {unknown}')
    return tower(arch, **options)
