"""Convert a file of someone else's CLIP to a checkpoint and a config."""
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
from mmaction_centerclip.utils.files import check_absent, write_text
from mmaction_centerclip.utils.tensor_files import read_checkpoint, save_tensors
from mmaction_centerclip.utils.weights import load_strictly

from .model_config import give_embeddings, infer_arch, infer_head
from .sources import SOURCES, convert_state, detect_sources


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
