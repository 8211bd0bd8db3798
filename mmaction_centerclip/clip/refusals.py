"""Why necks fit no backbone of some kinds, told by names of classes and models."""
import re

__all__ = ['REASONS', 'find_reason', 'why_unsuited']

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
        >>> from mmaction_centerclip.clip.refusals import why_unsuited
        >>> why_unsuited('ResNet3dSlowFast')
        'it is made of convolutions, which have no tokens to drop'
    """
    return find_reason(name) or (
        'no host is known for it; docs/extending.md shows how to write one')


def find_reason(name: str) -> str | None:
    """Return why necks fit no backbone of such a name, None if nothing says so."""
    return next((reason for reason, pattern in REASONS.items()
                 if re.search(pattern, name.lower())), None)
