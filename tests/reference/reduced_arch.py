"""Models of open_clip with few and narrow blocks, for what needs no size."""
import sys
from types import ModuleType

import timm
from timm.models import is_model_in_modules, model_entrypoint, register_model

from mmaction_centerclip.clip.models import clip_config

MAX_VOCABULARY = 50000


def reduced_arch(arch: str | dict, layers: int = 2, width: int = 64, heads: int = 2,
                 **vision: int | float) -> dict:
    """The sizes of a small model that is built as a large one is.

    What makes a family stays as it is: kinds of blocks, norms, positions, masks,
    pooling and projections. A model of timm is registered with timm under a name
    of its own. Towers behind a stem of convolutions keep their width. Vocabularies
    are cut; more of ``vision_cfg`` may be given.
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
    """Register a model of timm with other sizes; its name."""
    small = '_'.join([name, *(f'{key}{value}' for key, value in sizes.items())])
    if timm.is_model(small):
        return small
    entry = model_entrypoint(name)

    def build(pretrained: bool = False, **kwargs) -> object:
        return entry(pretrained, **{**sizes, **kwargs})

    build.__name__ = small
    # timm lists it in __all__ of a module, which this is not to be.
    module = ModuleType(f'{__name__}_{small}.reduced')
    build.__module__ = module.__name__
    sys.modules[module.__name__] = module
    register_model(build)
    return small
