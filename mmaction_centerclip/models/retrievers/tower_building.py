"""Build the towers of a retriever by their configs."""
import inspect

from mmaction.registry import MODELS
from torch import nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import VideoTower, advise

__all__ = ['build_tower']


def build_tower(option: str, config: dict, kind: type, arch: str | dict) -> nn.Module:
    """Build a tower by its class, or by a function that picks the class.

    Args:
        option (str): The option's name, for messages.
        config (dict): The tower's, without its ``arch``.
        kind (type): What it must be.
        arch (str | dict): See :func:`clip_config`.

    Raises:
        InputError: If it is something else.
    """
    name = config.get('type')
    build = MODELS.get(name) if isinstance(name, str) else name
    if inspect.isfunction(build) or inspect.isclass(build) and issubclass(build, kind):
        tower = MODELS.build({'arch': arch, **config})
        if isinstance(tower, kind):
            return tower
    is_known = build is not None or str(name).startswith('timm.')
    reason = f'; {advise(name)}' if kind is VideoTower and is_known else ''
    raise InputError(f'{option}: type must be a {kind.__name__}, got {name!r}{reason}')
