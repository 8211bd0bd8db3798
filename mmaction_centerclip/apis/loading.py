"""Build a retriever with weights, and never with random ones."""
import copy
import os

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmaction_centerclip.clip.weights import load_clip_weights
from mmaction_centerclip.engine.checkpoints import load_checkpoint
from mmaction_centerclip.engine.config import is_retriever, prepare_config, read_config
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.models.towers import load_tower_weights
from mmaction_centerclip.utils.files import expand_home
from mmaction_centerclip.utils.option_types import check_types


@check_types
def init_retriever(config: str | os.PathLike | Config,
                   checkpoint: str | os.PathLike | None = None,
                   device: str | torch.device = 'cpu') -> nn.Module:
    """Build a retriever in evaluation mode, to encode videos and captions.

    All weights and settings of the ``checkpoint``, a local file, must be the model's,
    see :class:`CheckCheckpointHook`; a config that it stores is never looked at: it
    would be run. Without, the weights that ``model.pretrained`` names, zero-shot.
    """
    if torch.device(device).type == 'meta':
        raise InputError("device must be one with memory, got 'meta'")
    if isinstance(config, (str, os.PathLike)):
        config = read_config(expand_home(config))
    if not is_retriever(config):
        raise InputError(f'{config.filename}: model is no VideoTextRetriever')
    cfg = copy.deepcopy(config)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    prepare_config(cfg)
    if checkpoint is None and not cfg.model.get('pretrained'):
        raise InputError(f'{cfg.filename}: checkpoint is missing, and model.pretrained '
                         'names no weights to use instead')
    with config_errors('model'):
        model = MODELS.build(cfg.model)
    if checkpoint is None:
        load_pretrained(model)
    else:
        load_checkpoint(model, os.fspath(checkpoint), cfg)
    model.cfg = cfg
    return model.to(device).eval()


def load_pretrained(model: nn.Module, video_only: bool = False) -> None:
    """Load the weights that the config starts a training from, in place.

    All parts of the model must have some; with ``video_only``, the video tower.
    """
    if model.video_pretrained is not None:
        if video_only:
            return load_tower_weights(model.backbone, model.video_pretrained)
        raise InputError(f'video_pretrained={model.video_pretrained!r} starts a video '
                         "tower that has yet to learn the text tower's space; give a "
                         'checkpoint')
    untrained = [key for key in load_clip_weights(model, model.pretrained, model.arch)
                 if key.startswith('backbone.') or not video_only]
    if untrained:
        raise InputError(f'pretrained={model.pretrained!r} has no weights for '
                         f'{untrained[:3]} ({len(untrained)} in all), which are '
                         'learned in training; give a checkpoint')
