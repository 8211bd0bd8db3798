"""Convert a file of someone else's CLIP to a checkpoint, and infer its config."""
import math
import re
from collections.abc import Sequence

from mmaction.registry import MODELS
from mmengine.config import Config
from open_clip import CLIPTextCfg
from torch import Tensor

from mmaction_centerclip.clip.feature_settings import (
    SETTINGS,
    check_settings,
    describe_settings,
    kept_settings,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import single_necks
from mmaction_centerclip.utils.files import check_absent, write_text
from mmaction_centerclip.utils.option_types import init_options
from mmaction_centerclip.utils.tensor_files import read_checkpoint, save_tensors
from mmaction_centerclip.utils.weights import load_strictly

from .sources import SOURCES, convert_state, detect_sources, find_head


def infer_arch(state: dict[str, Tensor], quick_gelu: bool = True, head_width: int = 64,
               text_head_width: int = 64) -> dict:
    """Infer a retriever's architecture from its weights, for :func:`clip_config`.

    They do not tell the width of an attention head and the activation; every CLIP of
    OpenAI has 64 and QuickGELU.
    """
    try:
        vision = _infer_tower(state, 'backbone.', 'vision', head_width)
        text = _infer_tower(state, 'text_backbone.', 'text', text_head_width)
        patch = state['backbone.conv1.weight'].shape[-1]
        positions = len(state['backbone.positional_embedding'])
        text.update(context_length=len(state['text_backbone.positional_embedding']),
                    vocab_size=len(state['text_backbone.token_embedding.weight']),
                    heads=text['width'] // text_head_width)
        embed_dim = state['backbone.proj'].shape[1]
    except KeyError as error:
        raise InputError(f'the weights lack {error}, which tells a size of '
                         'the model') from None
    grid = math.isqrt(positions - 1)
    if grid**2 != positions - 1:
        raise InputError('the positional embedding must be of a class token '
                         f'and a square grid, got {positions} positions')
    vision.update(image_size=grid * patch, patch_size=patch, head_width=head_width)
    return dict(embed_dim=embed_dim, quick_gelu=quick_gelu, vision_cfg=vision,
                text_cfg=text)


def _infer_tower(state: dict[str, Tensor], prefix: str, name: str,
                 head_width: int) -> dict:
    """Infer what both towers have: width, layers and the MLP's ratio."""
    width = state[f'{prefix}positional_embedding'].shape[1]
    if width % head_width:
        raise InputError(f'the width of an attention head, {head_width}, must '
                         f'divide the {name} width {width}')
    blocks = f'{prefix}transformer.resblocks.'
    hidden = len(state[f'{blocks}0.mlp.c_fc.weight'])
    numbers = {key[len(blocks):].split('.')[0]
               for key in state if key.startswith(blocks)}
    return dict(width=width, layers=len(numbers), mlp_ratio=hidden / width)


def infer_head(state: dict[str, Tensor], layer_norm_eps: float = 1e-12) -> dict:
    """Infer a stored head's config; the default epsilon is CLIP4Clip's."""
    kind, names = find_head(state)
    if not names:
        return dict(type=kind)
    config = dict(type=kind, embed_dims=state['clip.text_projection'].shape[1])
    for old, new in names.items():
        if new == 'position_embedding':
            tight = kind == 'TightTransformerHead'
            config['max_positions' if tight else 'max_segments'] = len(state[old])
        elif new == 'transformer.':
            blocks = {re.search(r'resblocks\.(\d+)', key)[1]
                      for key in state if key.startswith(old)}
            config.update(num_layers=len(blocks), layer_norm_eps=layer_norm_eps)
    return config


def give_embeddings(necks: Sequence[dict], embeddings: dict[int, Tensor],
                    weights: dict[str, Tensor], source: str) -> list[dict]:
    """Return necks with the options of their embeddings, put into ``weights``.

    The embeddings are by the block that each precedes, see :func:`convert_state`.
    """
    necks = [dict(neck) for neck in single_necks(necks)]
    for block, embedding in embeddings.items():
        of_clips = embedding.ndim == 4
        embedding = embedding.flatten(0, -2)
        has = (f'{source} has {"an" if of_clips else "a cluster"} embedding of '
               f'{len(embedding)} {"clips" if of_clips else "centers"} in front of '
               f'block {block}')
        found = [i for i, n in enumerate(necks) if n['before_block'] == block
                 and (not of_clips or n.get('num_clips') == len(embedding))]
        if not found:
            raise InputError(f'{has}, so a neck stands there; give ' + (
                '--necks-of a config of TempMe' if of_clips else
                f'--before-block {block} and --num-segments'))
        neck = necks[found[0]]
        if of_clips:
            weights[f'backbone.necks.{found[0]}.clip_embed'] = embedding
            continue
        if neck.setdefault('num_centers', len(embedding)) != len(embedding):
            raise InputError(f'{has}, got --num-centers {neck["num_centers"]}')
        neck['cluster_embed'] = 'zeros'
        weights[f'backbone.necks.{found[0]}.cluster_embed'] = embedding
    for neck in necks:
        centers = init_options(MODELS.get(neck['type'])).get('num_centers')
        if centers and centers.default is centers.empty and ('num_centers' not in neck):
            raise InputError('--num-centers is required, the weights do not '
                             f'tell it for block {neck["before_block"]}')
    return necks


def convert_checkpoint(source: str, target: str, kinds: Sequence[str],
                       necks: Sequence[dict] = (), num_blocks: int | None = None,
                       layer_norm_eps: float = 1e-12, config_file: str | None = None,
                       base_config: str = '', num_frames: int = 12,
                       **sizes) -> tuple[dict, dict]:
    """Convert a checkpoint file; those to write must not exist.

    The first of ``kinds``, keys of :data:`SOURCES`, that fits is taken. A neck gets the
    source's cluster embedding of its block. ``num_blocks`` is how many the vision tower
    must have. ``config_file`` is a config to write that tests the model, with data,
    schedule and runtime of ``base_config``; ``sizes`` are options of
    :func:`infer_arch`. Return the model's config, without pretrained weights; and a
    report: ``kind``, ``unused`` keys of the source and ``missing`` keys of the model,
    which keep their initialisation.
    """
    check_absent(target, config_file)
    state, file, _ = read_checkpoint(source)
    kind = _choose_kind(state, kinds, source)
    weights, unused, embeddings = convert_state(state, kind)
    necks = give_embeddings(necks, embeddings, weights, source)
    backbone = dict(type='CLIPVisionTower', necks=necks)
    if 'backbone.conv2.weight' in weights:
        backbone['linear_patch'] = '3d'
    config = dict(type='VideoTextRetriever', arch=infer_arch(weights, **sizes),
                  backbone=backbone, text_backbone=dict(type='CLIPTextTower'),
                  head=infer_head(state, layer_norm_eps))
    layers = config['arch']['vision_cfg']['layers']
    if num_blocks not in (None, layers):
        raise InputError(f'{source} has {layers} blocks in its vision tower, '
                         f'got settings for {num_blocks}')
    model = MODELS.build(config)
    own = model.state_dict()
    missing = sorted(own.keys() - weights.keys())
    unused += sorted(weights.keys() - own.keys())
    load_strictly(model, {key: x for key, x in weights.items() if key in own}, source,
                  may_lack=('backbone.necks.', 'head.'))
    settings = describe_settings(model)
    if kept_settings(file):  # else the tool says what is assumed
        check_settings(file, settings, source)
    # Before anything is written, since it may be refused.
    text = config_file and _config_text(config, base_config, num_frames)
    save_tensors(
        dict(state_dict=model.state_dict(),
             meta={'converted_from': kind, SETTINGS: settings}), target)
    if config_file:
        write_text(text, config_file)
    return config, dict(kind=kind, unused=unused, missing=missing)


def _choose_kind(state: dict[str, Tensor], kinds: Sequence[str], source: str) -> str:
    try:
        found = detect_sources(state)
    except InputError as error:
        raise InputError(f'{source} holds {error}') from None
    for kind in kinds:
        if kind in found:
            return kind
    expected = ' or '.join(SOURCES[kind].title for kind in kinds)
    raise InputError(f'{source} holds {SOURCES[found[0]].title}, expected {expected}')


def _config_text(model: dict, base: str, num_frames: int) -> str:
    """Format a config that tests the model, complete in itself."""
    cfg = Config.fromfile(base)
    size = model['arch']['vision_cfg']['image_size']
    try:
        # The model keeps the weights' whole context; captions are cut to what
        # the base config trains with, unless they are why it is longer than CLIP's.
        length = model['arch']['text_cfg']['context_length']
        if length <= CLIPTextCfg.context_length:
            length = min(length, cfg.model.text_backbone.context_length)
        cfg.model = dict(model, frozen_layers=cfg.model.frozen_layers,
                         data_preprocessor=cfg.model.data_preprocessor)
        options = dict(UniformSample=dict(clip_len=num_frames),
                       SampleFramesWithMask=dict(clip_len=num_frames),
                       Resize=dict(scale=(-1, size)), CenterCrop=dict(crop_size=size),
                       OpenCLIPTokenize=dict(context_length=length))
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            for transform in cfg[loader].dataset.pipeline:
                transform.update(options.get(transform.type, {}))
    except (AttributeError, KeyError) as error:
        raise InputError(f"{base}: not a retriever's config: {error}") from None
    for name in ('train_pipeline', 'test_pipeline'):
        cfg.pop(name, None)  # already in the loaders
    return cfg.pretty_text
