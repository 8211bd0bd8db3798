"""Why some backbones are no hosts of necks."""
import inspect
import re

from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError

__all__ = ['advise', 'check_host', 'why_unsuited']

_PLACE = 'which needs every token at its place'
REASONS = {
    'it attends in windows and halves the grid between stages, ' + _PLACE:
    r'swin|twins|maxvit|maxxvit',
    'it pools the grid of tokens between stages, ' + _PLACE:
    r'mvit|multiscale|hiera|pyramid|pooling|levit',
    'it has convolutions between its blocks, ' + _PLACE:
    r'mobilevit|mobileclip|fastvit|coat|convit|cvt|xcit|uniformer$',
    'it is a hierarchy: two of its three stages are convolutions, on finer grids than '
    'its transformer blocks': r'vitamin',
    'it mixes tokens by weights of a fixed number of them': r'mixer|mlp',
    'it is made of convolutions, which have no tokens to drop':
    r'c3d|c2d|r2plus1d|tsm|tanet|omni|csn|x3d|slowfast|conv|.*net|stgcn|aagcn|vgg',
    'its rotary positions need a host that gathers them': r'eva',
    'it adds a bias to its attention for each two places of the full grid':
    r'relpos|sam$|beit',
    'it has a second class token with a head of its own, for which '
    'docs/extending.md has a host': r'distilled',
}
"""Why necks fit no such backbone, and names of their classes and modules."""


def why_unsuited(name: str) -> str:
    """Return why a backbone takes no necks.

    Args:
        name (str): Of its class or model, such as ``'SwinTransformer3D'``.

    Examples:
        >>> from mmaction_centerclip.models.backbones.unsuited import why_unsuited
        >>> why_unsuited('ResNet3dSlowFast')
        'it is made of convolutions, which have no tokens to drop'
    """
    return find_reason(name) or (
        'no host is known for it; docs/extending.md shows how to write one')


def find_reason(name: str) -> str | None:
    """Return why necks fit no backbone of such a name, None if nothing says so."""
    return next((reason for reason, pattern in REASONS.items()
                 if re.search(pattern, name.lower())), None)


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
    """Return whether a registered backbone, by name or class, is a host.

    A function that picks one, such as ``OpenCLIPVisionTower``, counts as one.
    """
    from .video_tower import VideoTower
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    return inspect.isfunction(cls) or (
        isinstance(cls, type) and issubclass(cls, VideoTower))
