"""Why some backbones are no hosts of necks."""
import inspect
import re

from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError

__all__ = ['advise', 'check_host', 'why_unsuited']

_PLACE = 'which needs every token at its place'
_REASONS = {
    'it attends in windows and halves the grid between stages, ' + _PLACE:
    r'swin|twins|maxvit|maxxvit',
    'it pools the grid of tokens between stages, ' + _PLACE:
    r'mvit|multiscale|hiera|pyramid|pooling|levit',
    'it has convolutions between its blocks, ' + _PLACE:
    r'mobilevit|mobileclip|fastvit|coat|convit|cvt|xcit|uniformer$',
    'it mixes tokens by weights of a fixed number of them': r'mixer|mlp',
    'it is made of convolutions, which have no tokens to drop':
    r'c3d|c2d|r2plus1d|tsm|tanet|omni|csn|x3d|slowfast|conv|.*net|stgcn|aagcn|vgg',
    'its rotary positions need a host that gathers them': r'eva',
    'its attention knows tokens by their place in the full grid': r'relpos|sam$|beit',
    'it has a second class token with a head of its own, for which '
    'docs/extending.md has a host': r'distilled',
}
_HOSTS = {
    'TimeSformer': 'TimeSformerTower',
    'UniFormerV2': 'UniFormerV2Tower',
    'VisionTransformer': 'VideoMAETower',
    'mmpretrain.VisionTransformer': 'MMPretrainVisionTower',
}


def why_unsuited(name: str) -> str:
    """Say why a backbone takes no necks.

    Args:
        name (str): Of its class or model, such as ``'SwinTransformer3D'``.

    Examples:
        >>> from mmaction_centerclip.models.backbones.unsuited import why_unsuited
        >>> why_unsuited('ResNet3dSlowFast')
        'it is made of convolutions, which have no tokens to drop'
    """
    for reason, pattern in _REASONS.items():
        if re.search(pattern, name.lower()):
            return reason
    return 'no host is known for it; docs/extending.md shows how to write one'


def check_host(config: dict) -> None:
    """Refuse necks between the blocks of a backbone that is no host.

    Args:
        config (dict): A backbone's, with its ``type`` and perhaps ``necks``.

    Raises:
        InputError: With the reason, or the name of the host, if there is one.
    """
    kind = config.get('type')
    if 'necks' in config and not is_host(kind):
        raise InputError(f'backbone: {advise(kind)}')


def advise(kind: str | type) -> str:
    """Say what to write in place of a backbone that is no host, or why nothing."""
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', repr(kind))
    if name.startswith('timm.'):
        return (f"{name} takes no necks; write dict(type='TimmVisionTower', "
                f"model_name={name[5:]!r}), in a recogniser as the tower of a "
                'VideoTowerBackbone')
    if name in _HOSTS:
        return f"{name} takes no necks, write type='{_HOSTS[name]}'"
    return f'{name} takes no necks: {why_unsuited(name)}'


def is_host(kind: str | type | None) -> bool:
    """Tell whether a registered backbone, by name or class, is a host.

    A function that picks one, such as ``OpenCLIPVisionTower``, counts as one.
    """
    from .video_tower import VideoTower
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    return inspect.isfunction(cls) or (
        isinstance(cls, type) and issubclass(cls, VideoTower))
