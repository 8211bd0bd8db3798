"""Classes and arguments of CLIP towers, and why some models take no necks."""
import inspect
import re
from functools import partial

import open_clip
import timm
from open_clip.transformer import (
    LayerNorm,
    QuickGELU,
    TextTransformer,
    VisionTransformer,
)
from torch import nn

from mmaction_centerclip.errors import InputError, check_choice
from mmaction_centerclip.utils.option_types import check_options

from .models import clip_config


def vision_tower_type(arch: str | dict) -> str:
    """Name the class that hosts a model's vision transformer.

    Examples:
        >>> vision_tower_type('ViT-B-32'), vision_tower_type('PE-Core-B-16')
        ('CLIPVisionTower', 'CLIPTimmVisionTower')
    """
    sizes = _sizes(open_clip.CLIPVisionCfg, clip_config(arch), 'vision_cfg')
    name = sizes.timm_model_name
    if not name:
        if isinstance(sizes.layers, (list, tuple)):
            _refuse(arch, 'a ResNet', find_reason('resnet'))
        return 'CLIPVisionTower'
    if not timm.is_model(name):
        raise InputError(f'arch {arch!r}: vision_cfg: timm_model_name must be one of '
                         f'timm.list_models(), got {name!r}')
    module = timm.model_entrypoint(name).__module__.rpartition('.')[2]
    if module != 'eva' and (reason := find_reason(module)):
        _refuse(arch, name, reason)
    return 'CLIPTimmVisionTower'


def _refuse(arch: str | dict, name: str, reason: str) -> None:
    raise InputError(f'arch {arch!r}: its vision tower ({name}) takes no necks: '
                     f'{reason}; these take single tokens away between blocks that '
                     'attend to all places; choose a ViT, such as '
                     'ViT-B-32-quickgelu')


def _check_type(arch: str | dict, tower: str) -> None:
    expected = vision_tower_type(arch)
    if expected != tower:
        raise InputError(f'arch {arch!r}: its vision tower is a {expected}, got '
                         f"{tower}; type='OpenCLIPVisionTower' takes either")


def timm_arguments(arch: str | dict) -> dict:
    """Keyword arguments of ``open_clip.timm_model.TimmModel``."""
    _check_type(arch, 'CLIPTimmVisionTower')
    config = clip_config(arch)
    sizes = _sizes(open_clip.CLIPVisionCfg, config, 'vision_cfg')
    if sizes.timm_pool in ('abs_attn', 'rot_attn'):
        raise InputError(f'arch {arch!r}: vision_cfg: timm_pool {sizes.timm_pool!r} '
                         'pools a full grid of places, which necks do not keep')
    check_choice('arch: vision_cfg: timm_proj', sizes.timm_proj,
                 (None, '', 'none', 'linear', 'mlp'))
    # Weights are a retriever's to load: not timm's own, which open_clip would
    # fetch for timm_model_pretrained.
    return dict(
        model_name=sizes.timm_model_name, embed_dim=config['embed_dim'],
        image_size=sizes.image_size, pool=sizes.timm_pool, proj=sizes.timm_proj,
        proj_bias=sizes.timm_proj_bias, drop=sizes.timm_drop,
        drop_path=sizes.timm_drop_path, patch_drop=sizes.patch_dropout or None)


def vision_arguments(arch: str | dict) -> dict:
    """Keyword arguments of ``open_clip.transformer.VisionTransformer``."""
    _check_type(arch, 'CLIPVisionTower')
    config = clip_config(arch)
    sizes = _sizes(open_clip.CLIPVisionCfg, config, 'vision_cfg')
    if sizes.width % sizes.head_width:
        raise InputError(f'arch {arch!r}: head_width {sizes.head_width} must '
                         f'divide the width {sizes.width}')
    arguments = _arguments(VisionTransformer, sizes, config)
    return dict(arguments, heads=sizes.width // sizes.head_width)


def text_arguments(arch: str | dict) -> dict:
    """Keyword arguments of ``open_clip.transformer.TextTransformer``."""
    config = clip_config(arch)
    sizes = _sizes(open_clip.CLIPTextCfg, config, 'text_cfg')
    if sizes.hf_model_name:
        raise InputError(f"arch {arch!r}: its text tower is Hugging Face's "
                         f'({sizes.hf_model_name}), not the transformer of open_clip; '
                         'that alone is supported')
    if sizes.embed_cls:
        raise InputError(f'arch {arch!r}: its text tower has a class token, as '
                         "CoCa's does, which is not supported")
    check_choice('arch: text_cfg: pool_type', sizes.pool_type,
                 ('argmax', 'eos', 'first', 'last'))
    return _arguments(TextTransformer, sizes, config)


def _sizes(cls: type, config: dict, part: str) -> object:
    check_options(f'arch: {part}', cls.__init__, {  # null stands for a default
        name: value for name, value in config[part].items() if value is not None})
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
    """Return why a backbone, by the name of its class or model, takes no necks.

    Examples:
        >>> why_unsuited('ResNet3dSlowFast')
        'it is made of convolutions, which have no tokens to drop'
    """
    return find_reason(name) or (
        'no host is known for it; docs/extending.md shows how to write one')


def find_reason(name: str) -> str | None:
    """Return why necks fit no backbone of such a name, None if nothing says so."""
    return next((reason for reason, pattern in REASONS.items()
                 if re.search(pattern, name.lower())), None)
