"""Models of open_clip with few and narrow blocks, for what needs no size."""
import timm
from timm.models import is_model_in_modules, model_entrypoint, register_model

from mmaction_centerclip.clip_models import clip_config

__all__ = ['reduced_arch']

MAX_VOCABULARY = 50000


def reduced_arch(arch: str | dict, layers: int = 2, width: int = 64, heads: int = 2,
                 **vision: int | float) -> dict:
    """Return the sizes of a small model that is built as a large one is.

    What makes a family stays as it is: kinds of blocks, norms, positions,
    masks, pooling and projections. A model of timm is registered with timm
    under a name of its own. Towers behind a stem of convolutions keep their
    width, which the stem's is.

    Args:
        arch (str | dict): See :func:`clip_config`.
        layers (int): Blocks of each tower. Defaults to 2.
        width (int): Width of both towers and of the features, a multiple of
            8. Defaults to 64.
        heads (int): Heads of each attention. Defaults to 2.
        **vision (int | float): More of ``vision_cfg``: ``image_size``,
            ``patch_size``, ``timm_drop_path``.

    Returns:
        dict: An ``arch``; vocabularies are cut to 50,000 tokens.

    Examples:
        >>> from mmaction_centerclip.benchmarking import reduced_arch
        >>> from mmaction_centerclip.models import CLIPTimmVisionTower
        >>> tower = CLIPTimmVisionTower(reduced_arch('PE-Core-bigG-14-448'))
        >>> len(tower.tower_blocks()), tower.embed_dims, tower.image_size
        (2, 64, (448, 448))
    """
    config = clip_config(arch)
    sizes = config['vision_cfg']
    sizes.update(vision)
    if sizes.get('timm_model_name'):
        kwargs = dict(img_size=sizes['image_size'], depth=layers)
        if 'patch_size' in vision:
            kwargs['patch_size'] = sizes.pop('patch_size')
        if not is_model_in_modules(sizes['timm_model_name'],
                                   ('vision_transformer_hybrid', )):
            kwargs.update(embed_dim=width, num_heads=heads)
        sizes['timm_model_name'] = _register(sizes['timm_model_name'], kwargs)
    else:
        sizes.update(layers=layers, width=width, head_width=width // heads)
    text = config['text_cfg']
    if not text.get('hf_model_name'):
        text.update(width=width, heads=heads, layers=layers,
                    vocab_size=min(text.get('vocab_size', 49408), MAX_VOCABULARY))
    config['embed_dim'] = width
    return config


def _register(name: str, sizes: dict[str, int]) -> str:
    """Register a model of timm with other sizes, and return its name."""
    small = '_'.join([name, *(f'{key}{value}' for key, value in sizes.items())])
    if timm.is_model(small):
        return small
    entry = model_entrypoint(name)

    def build(pretrained: bool = False, **kwargs) -> object:
        return entry(pretrained, **{**sizes, **kwargs})

    build.__name__ = small
    build.__module__ = __name__
    globals()[small] = register_model(build)  # which lists it in __all__
    return small
