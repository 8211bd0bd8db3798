"""From a name or a dict of sizes to the arguments of open_clip's towers."""
import inspect
from functools import partial

import open_clip
from open_clip.transformer import (
    LayerNorm,
    QuickGELU,
    TextTransformer,
    VisionTransformer,
)
from torch import nn

from mmaction_centerclip.clip_models import clip_config
from mmaction_centerclip.errors import InputError, check_choice

__all__ = ['clip_config', 'text_arguments', 'vision_arguments']


def vision_arguments(arch: str | dict) -> dict:
    """Keyword arguments of ``open_clip.transformer.VisionTransformer``.

    Args:
        arch (str | dict): See :func:`clip_config`.

    Raises:
        InputError: If the vision tower has no transformer blocks.
    """
    config = clip_config(arch)
    sizes = _sizes(open_clip.CLIPVisionCfg, config, 'vision_cfg')
    if isinstance(sizes.layers, (list, tuple)) or sizes.timm_model_name:
        kind = sizes.timm_model_name or 'a ResNet'
        raise InputError(f'arch {arch!r}: its vision tower is {kind}, which has no '
                         'transformer blocks that a neck could stand between; choose a '
                         'ViT, such as ViT-B-32-quickgelu')
    if sizes.width % sizes.head_width:
        raise InputError(f'arch {arch!r}: head_width {sizes.head_width} must '
                         f'divide the width {sizes.width}')
    arguments = _arguments(VisionTransformer, sizes, config)
    return dict(arguments, heads=sizes.width // sizes.head_width)


def text_arguments(arch: str | dict) -> dict:
    """Keyword arguments of ``open_clip.transformer.TextTransformer``.

    Args:
        arch (str | dict): See :func:`clip_config`.

    Raises:
        InputError: If the text tower is not open_clip's own transformer.
    """
    config = clip_config(arch)
    sizes = _sizes(open_clip.CLIPTextCfg, config, 'text_cfg')
    if sizes.hf_model_name:
        raise InputError(f'arch {arch!r}: its text tower is {sizes.hf_model_name} of '
                         "Hugging Face; only open_clip's own transformer is supported")
    if sizes.embed_cls:
        raise InputError(f'arch {arch!r}: its text tower has a class token, as '
                         "CoCa's does, which is not supported")
    check_choice('arch: text_cfg: pool_type', sizes.pool_type,
                 ('argmax', 'eos', 'first', 'last'))
    return _arguments(TextTransformer, sizes, config)


def _sizes(cls: type, config: dict, part: str) -> object:
    try:
        return cls(**config[part])
    except TypeError as error:
        raise InputError(f'arch: {part}: {error}') from None


def _arguments(tower: type, sizes: object, config: dict) -> dict:
    """Select the arguments that a constructor and a size class both name."""
    accepted = inspect.signature(tower).parameters
    arguments = {k: v for k, v in vars(sizes).items() if k in accepted}
    act_layer = QuickGELU if config.get('quick_gelu', False) else nn.GELU
    return dict(arguments, output_dim=config['embed_dim'],
                act_layer=partial(act_layer, **(sizes.act_kwargs or {})),
                norm_layer=partial(LayerNorm, **(sizes.norm_kwargs or {})))
