"""From a file of someone else's CLIP to a checkpoint and a config of ours."""
import os.path as osp
from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.files import read_checkpoint
from mmaction_centerclip.models.necks import CenterSelection

from .sizes import infer_arch
from .sources import KINDS, convert_state, detect_kind, head_of, is_ambiguous

__all__ = ['convert_checkpoint', 'make_model_config', 'to_open_clip', 'write_config']


def convert_checkpoint(source: str,
                       target: str,
                       kinds: Sequence[str],
                       necks: Sequence[dict] = (),
                       num_blocks: int | None = None,
                       layer_norm_eps: float = 1e-12,
                       **sizes) -> tuple[dict, dict]:
    """Convert a checkpoint file.

    Args:
        source (str): The file to read.
        target (str): The checkpoint to write; must not exist.
        kinds (Sequence[str]): Keys of :data:`KINDS` that are accepted.
        necks (Sequence[dict]): Configs of the necks; where the source has a
            cluster embedding, the neck before that block gets it.
            Defaults to ().
        num_blocks (int, optional): How many blocks the vision tower must
            have. Defaults to None: any number.
        layer_norm_eps (float): See :func:`head_of`. Defaults to 1e-12.
        **sizes: ``quick_gelu``, ``head_width`` and ``text_head_width`` of
            :func:`infer_arch`.

    Returns:
        tuple[dict, dict]: The model's config, without pretrained weights; and
        a report: ``kind``, ``unused`` keys of the source and ``missing`` keys
        of the model, which keep their initialisation.

    Raises:
        InputError: If the source is of another kind or does not fit the
            necks, or the target exists.
    """
    if osp.exists(target):
        raise InputError(f'{target} exists already, choose another file')
    state, kind = _read_source(source, kinds)
    converted, unused, embeddings = convert_state(state, kind)
    necks = _give_embeddings(necks, embeddings, converted, source)
    arch = infer_arch(converted, **sizes)
    layers = arch['vision_cfg']['layers']
    if num_blocks not in (None, layers):
        raise InputError(f'{source} has {layers} blocks in its vision tower, '
                         f'got settings for {num_blocks}')
    config = make_model_config(
        arch, necks, '3d' if 'backbone.conv2.weight' in converted else '2d',
        head_of(state, layer_norm_eps)[0])
    model = MODELS.build(config)
    missing, unexpected = _load(model, converted, source)
    torch.save(
        dict(state_dict=model.state_dict(), meta=dict(converted_from=kind)),
        target)
    return config, dict(kind=kind, unused=unused + unexpected, missing=missing)


def _read_source(source: str, kinds: Sequence[str]) -> tuple[dict, str]:
    """The state dict and its kind, which must be one of ``kinds``."""
    state, rest, _ = read_checkpoint(source)
    try:
        kind = detect_kind(state, rest)
    except InputError as error:
        raise InputError(f'{source} holds {error}') from None
    alike = {'clip4clip', 'clipsimilarity'} & set(kinds)
    if kind not in kinds and not (alike and is_ambiguous(state, kind)):
        expected = ' or '.join(KINDS[name] for name in kinds)
        raise InputError(f'{source} holds {KINDS[kind]}, expected {expected}')
    return state, kind


def _load(model: nn.Module, converted: dict,
          source: str) -> tuple[list[str], list[str]]:
    """Load the weights; which the model misses, and which it has not."""
    try:
        result = model.load_state_dict(converted, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f'{source}: {reason}') from None
    lost = [key for key in result.missing_keys
            if not key.startswith(('backbone.necks.', 'head.'))]
    if lost:
        raise InputError(f'{source} lacks {len(lost)} weights of its towers, '
                         f'such as {lost[:3]}')
    return list(result.missing_keys), list(result.unexpected_keys)


def make_model_config(arch: dict,
                      necks: Sequence[dict] = (),
                      linear_patch: str = '2d',
                      head: dict | None = None) -> dict:
    """The config of a retriever, with a mean-pooling head if none is given."""
    backbone = dict(type='CLIPVisionTower', necks=list(necks))
    if linear_patch != '2d':
        backbone['linear_patch'] = linear_patch
    return dict(
        type='VideoTextRetriever',
        arch=arch,
        backbone=backbone,
        text_backbone=dict(type='CLIPTextTower'),
        head=head or dict(type='MeanPoolingHead'))


def write_config(model: dict, base: str, target: str, num_frames: int) -> None:
    """Write a config that tests the model, complete in one file.

    Args:
        model (dict): What :func:`convert_checkpoint` returns.
        base (str): Config that gives data, schedule and runtime.
        target (str): File to write; must not exist.
        num_frames (int): Frames of a video.

    Raises:
        InputError: If the target exists.
    """
    if osp.exists(target):
        raise InputError(f'{target} exists already, choose another file')
    cfg = Config.fromfile(base)
    arch = model['arch']
    size = arch['vision_cfg']['image_size']
    length = min(arch['text_cfg']['context_length'],
                 cfg.model.text_backbone.context_length)
    # The model keeps the weights' whole context; captions are cut to what the
    # base config trains with.
    cfg.model = dict(
        model,
        frozen_layers=cfg.model.frozen_layers,
        data_preprocessor=cfg.model.data_preprocessor)
    options = dict(
        UniformSample=dict(clip_len=num_frames),
        Resize=dict(scale=(-1, size)),
        CenterCrop=dict(crop_size=size),
        OpenCLIPTokenize=dict(context_length=length))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for transform in cfg[loader].dataset.pipeline:
            transform.update(options.get(transform.type, {}))
    for name in ('train_pipeline', 'test_pipeline'):
        cfg.pop(name, None)  # already in the loaders
    cfg.dump(target)


def to_open_clip(
        state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A retriever's towers as a state dict of open_clip's ``CLIP``.

    Args:
        state (dict[str, Tensor]): Of a retriever.

    Returns:
        tuple[dict[str, Tensor], list[str]]: The state dict, and the keys
        that open_clip has no place for, such as the necks' embeddings.

    Raises:
        InputError: If it is not a retriever's, or has 3-D patches.
    """
    if 'text_backbone.positional_embedding' not in state:
        raise InputError('not the weights of a retriever of this project; the '
                         f'first keys are {sorted(state)[:5]}')
    if 'backbone.conv2.weight' in state:
        raise InputError('the vision tower sees 3-D patches, which open_clip '
                         'has not')
    renamed, dropped = {}, []
    for key, value in state.items():
        if key.startswith('backbone.necks.'):
            dropped.append(key)
        elif key.startswith('backbone.'):
            renamed['visual.' + key[len('backbone.'):]] = value
        elif key.startswith('text_backbone.'):
            renamed[key[len('text_backbone.'):]] = value
        elif key == 'head.logit_scale':
            renamed['logit_scale'] = value
        else:
            dropped.append(key)
    return renamed, dropped


def _give_embeddings(necks: Sequence[dict], embeddings: dict,
                     converted: dict, source: str) -> list[dict]:
    """Necks with the options that the source's embeddings need."""
    necks = [dict(neck) for neck in necks]
    for block, embedding in embeddings.items():
        found = [i for i, n in enumerate(necks) if n['before_block'] == block]
        if not found:
            raise InputError(
                f'{source} has a cluster embedding of {len(embedding)} centers '
                f'in front of block {block}, so a neck stands there; give '
                f'--before-block {block} and --num-segments')
        neck = necks[found[0]]
        if neck.setdefault('num_centers', len(embedding)) != len(embedding):
            raise InputError(
                f'{source} has a cluster embedding of {len(embedding)} centers '
                f'in front of block {block}, got --num-centers '
                f'{neck["num_centers"]}')
        neck['cluster_embed'] = 'zeros'
        converted[f'backbone.necks.{found[0]}.cluster_embed'] = embedding
    for neck in necks:
        chooses = issubclass(MODELS.get(neck['type']), CenterSelection)
        if chooses and 'num_centers' not in neck:
            raise InputError('--num-centers is required, the weights do not '
                             f'tell it for block {neck["before_block"]}')
    return necks
