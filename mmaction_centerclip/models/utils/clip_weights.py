"""CLIP weights from an open_clip tag or a file, for both towers and a head."""
import logging
import os

import open_clip
from mmengine.logging import print_log
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.files import read_checkpoint
from mmaction_centerclip.models.backbones import clip_config

__all__ = [
    'fit_context', 'load_clip_weights', 'read_clip_weights',
    'rename_clip_weights'
]

_PARTS = {
    'visual.': 'backbone.',
    'text.': 'text_backbone.',
    'logit_scale': 'head.logit_scale',
}


def load_clip_weights(model: nn.Module, pretrained: str,
                      arch: str | dict) -> None:
    """Load CLIP's weights into a retriever, in place.

    Necks and the head's own layers keep their initialisation, or repeat it
    where it comes from CLIP's weights. A longer positional embedding of the
    text is cut to the model's context length.

    Args:
        model (nn.Module): With ``backbone``, ``text_backbone`` and ``head``.
        pretrained (str): A tag of open_clip for ``arch``, or a local file,
            see :func:`read_clip_weights`.
        arch (str | dict): The model's architecture.

    Raises:
        InputError: If there is no such file or tag, the file does not hold a
            CLIP model, or one of other sizes.
    """
    state = read_clip_weights(pretrained, arch)
    own = model.state_dict()
    positions = state.get('text_backbone.positional_embedding')
    fit_context(state, len(own['text_backbone.positional_embedding']))
    expected = {
        key
        for key in own if not key.startswith(
            ('backbone.necks.', 'backbone.conv2.', 'head.'))
    }
    missing = sorted(expected - state.keys())
    unused = sorted(state.keys() - own.keys())
    if missing or unused:
        raise InputError(
            f'pretrained={pretrained!r} is not a CLIP model of arch {arch!r}: '
            f'missing {missing[:5]} ({len(missing)} in all), not part of the '
            f'model {unused[:5]} ({len(unused)} in all)')
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise InputError(
                f'pretrained={pretrained!r} does not fit arch {arch!r}: {key} '
                f'has the shape {tuple(value.shape)}, expected '
                f'{tuple(own[key].shape)}')
    model.load_state_dict(state, strict=False)
    if 'backbone.conv2.weight' not in state:
        model.backbone.inflate_patches()
    if not any(key.startswith('backbone.necks.') for key in state):
        model.backbone.init_necks()
    heads = {
        key
        for key in own if key.startswith('head.') and key != 'head.logit_scale'
    }
    if heads - state.keys():
        model.head.init_from_text_tower(model.text_backbone, positions)
        if heads & state.keys():
            # Over it, what there is of the head.
            model.load_state_dict(state, strict=False)
            absent = sorted(heads - state.keys())
            print_log(
                f'pretrained={pretrained!r} has a part of the head only: '
                f'missing {absent[:5]} ({len(absent)} in all)', 'current',
                logging.WARNING)


def read_clip_weights(pretrained: str, arch: str | dict) -> dict:
    """Read a CLIP state dict and name it as a retriever does.

    Args:
        pretrained (str): A tag of ``open_clip.list_pretrained()`` that goes
            with ``arch``, downloaded on first use, or a local file: an
            open_clip checkpoint, an archive of OpenAI's, or a checkpoint of
            a retriever.
        arch (str | dict): The architecture.

    Returns:
        dict[str, Tensor]: float32 weights under ``backbone.``,
        ``text_backbone.`` and ``head.``.

    Raises:
        InputError: If there is no such file or tag, or it cannot be read.
    """
    if os.path.exists(pretrained):
        path = pretrained
    else:
        path = _download(pretrained, arch)
    state, _, is_archive = read_checkpoint(path)
    if is_archive and not clip_config(arch).get('quick_gelu', False):
        raise InputError(
            f"pretrained={pretrained!r} is an archive of OpenAI's, which goes "
            f'with QuickGELU; arch {arch!r} has GELU, use its -quickgelu form')
    if any(key.startswith('backbone.') for key in state):
        return state
    return rename_clip_weights(convert_to_custom_text_state_dict(state))


def rename_clip_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of an open_clip model as a retriever does.

    Args:
        state (dict[str, Tensor]): The vision tower's under ``visual.``, the
            text tower's under ``text.``.

    Returns:
        dict[str, Tensor]: float32, under ``backbone.``, ``text_backbone.``
        and ``head.logit_scale``; other keys as they are.
    """
    renamed = {}
    for key, value in state.items():
        part = next((p for p in _PARTS if key.startswith(p)), '')
        key = _PARTS.get(part, '') + key[len(part):]
        renamed[key] = value.float() if value.is_floating_point() else value
    if 'head.logit_scale' in renamed:
        renamed['head.logit_scale'] = renamed['head.logit_scale'].reshape(())
    return renamed


def fit_context(state: dict, context_length: int) -> None:
    """Cut the text's positional embedding to its first rows, in place.

    Truncated, not interpolated: a caption's tokens stand at the positions
    that they were trained at.

    Args:
        state (dict[str, Tensor]): Named as a retriever does.
        context_length (int): Rows to keep.
    """
    key = 'text_backbone.positional_embedding'
    if key in state:
        state[key] = state[key][:context_length]


def _download(tag: str, arch: str | dict) -> str:
    tags = open_clip.list_pretrained_tags_by_model(arch) if isinstance(
        arch, str) else []
    if not isinstance(arch, str) or not open_clip.pretrained.is_pretrained_cfg(
            arch, tag):
        raise InputError(
            f'pretrained must be a file or one of the tags that open_clip has '
            f'for arch {arch!r} ({tags}), got {tag!r}')
    config = open_clip.get_pretrained_cfg(arch, tag)
    quick_gelu = open_clip.get_model_config(arch).get('quick_gelu', False)
    if config.get('quick_gelu', False) != quick_gelu:
        other = (arch.removesuffix('-quickgelu')
                 if quick_gelu else f'{arch}-quickgelu')
        raise InputError(
            f'pretrained={tag!r} was trained with another activation than '
            f'arch {arch!r} has; use arch {other!r}')
    try:
        return open_clip.download_pretrained(config)
    except Exception as error:  # of whichever client the tag's host needs
        raise InputError(
            f'pretrained={tag!r} cannot be downloaded '
            f'({type(error).__name__}); without a network, give a local file '
            'or pretrained=None') from error
