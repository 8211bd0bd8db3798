"""CLIP weights of a tag or a file, and its positions stretched for long captions."""
import logging
import os

import open_clip
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmengine.logging import print_log
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.tensor_files import read_checkpoint
from mmaction_centerclip.utils.weights import load_strictly

from .feature_settings import check_settings, describe_settings
from .models import clip_config, stored_config
from .preprocessing import check_normalization, pretrained_preprocessing

KEPT, FACTOR = 20, 4
"""How many first positions stay, and by which factor the others are stretched."""
_FIRST = 'positional_embedding'
REST = f'{_FIRST}_res'
"""The name of the table of which Long-CLIP trains all rows but the first."""


def longest_context(length: int) -> int:
    """Return how many positions a model of ``length`` has once they are stretched.

    Examples:
        >>> longest_context(77)
        248
    """
    # Two others at least, of which the last ones go on.
    return length if length < KEPT + 2 else KEPT + FACTOR * (length - KEPT)


def stretch_positions(positions: Tensor) -> Tensor:
    """Stretch positions (L, C) to ``(longest_context(L), C)``, as Long-CLIP does.

    "Knowledge-preserved stretching" (`Long-CLIP <https://arxiv.org/abs/2403.15378>`_,
    section 3.1): most captions that CLIP saw are short, so that only its first 20
    positions are well trained, and stay as they are. Three rows between each two of
    the others are interpolated. Three behind the last one, of which the paper says
    nothing, go on along the last two, as in its authors' checkpoints.

    ``open_clip.model.resize_text_pos_embed`` interpolates all rows, first ones too, and
    shorter contexts as well: neither is what those rows were trained for.
    """
    kept, others = positions[:KEPT], positions[KEPT:]
    if len(others) < 2:
        raise InputError(f'positions are stretched from {KEPT + 2} on, got '
                         f'{len(positions)}')
    steps = others.diff(dim=0)
    steps = torch.cat([steps, steps[-1:]])
    parts = torch.arange(FACTOR, device=positions.device).to(positions) / FACTOR
    stretched = others[:, None] + parts[:, None] * steps[:, None]
    return torch.cat([kept, stretched.flatten(0, 1)])


def fit_positions(positions: Tensor, own_length: int, length: int,
                  source: str) -> Tensor:
    """Return the first ``length`` of a file's positions, stretched if need be.

    Those of a model of ``own_length`` are stretched for more; those of any other number
    are not, and stay too few.
    """
    if len(positions) == own_length < length:
        positions = stretch_positions(positions)
        print_log(
            f'{source}: {own_length} positions of the text tower are stretched to '
            f'{length}: the first {KEPT} are kept, the others interpolated by {FACTOR} '
            '(Long-CLIP, 2403.15378); train them before you trust them', 'current')
    return positions[:length]


def join_positions(state: dict[str, Tensor], prefix: str) -> None:
    """Put the two position tables of a Long-CLIP into one, in place, if there are two.

    Its model adds the first rows of ``positional_embedding``, which stay as they were,
    and the others of ``positional_embedding_res``.
    """
    rest = state.pop(prefix + REST, None)
    if rest is None:
        return
    first = state.get(prefix + _FIRST)
    if (first is None or first.shape != rest.shape or first.ndim != 2
            or len(first) <= KEPT):
        raise InputError(
            f"a Long-CLIP's {_FIRST} and {REST} must be of one shape, of more than "
            f'{KEPT} rows, got {None if first is None else tuple(first.shape)} and '
            f'{tuple(rest.shape)}')
    state[prefix + _FIRST] = torch.cat([first[:KEPT], rest[KEPT:]])


_PARTS = {
    'visual.': 'backbone.',
    'text.': 'text_backbone.',
    'logit_scale': 'head.logit_scale',
    'logit_bias': 'head.logit_bias',  # of a sigmoid loss, as SigLIP's
}


def load_clip_weights(model: nn.Module, pretrained: str, arch: str | dict) -> list[str]:
    """Load CLIP's weights into a retriever, and return the keys that they lack.

    A video tower with weights of its own (``video_pretrained``) takes none. Necks, the
    head's own layers and a projection keep their initialisation, or repeat it where it
    comes from CLIP's weights. For ``pretrained`` see :func:`read_clip_weights`.
    """
    own = getattr(model, 'data_preprocessor', None)
    source = f'pretrained={pretrained!r} for arch {arch!r}'
    if isinstance(own, ActionDataPreprocessor) and model.video_pretrained is None:
        check_normalization(pretrained_preprocessing(arch, pretrained), source, *(
            None if values is None else values.flatten().tolist()
            for values in (getattr(own, 'mean', None), getattr(own, 'std', None))))
    parts: dict[str, dict[str, Tensor]] = {
        'backbone': {}, 'text_backbone': {}, 'head': {}}
    projection = {}  # in a retriever's own checkpoint
    strangers = []
    weights = read_clip_weights(pretrained, arch, describe_settings(model))
    for key, value in weights.items():
        part, _, name = key.partition('.')
        if part in parts:
            parts[part][name] = value
        elif part == 'video_projection' and model.video_projection is not None:
            projection[name] = value
        else:
            strangers.append(key)
    if strangers:
        absent = [name for name, part in parts.items() if not part]
        raise InputError(
            f'{source} is not a CLIP model: missing {absent or "nothing"}, not '
            f'part of the model {sorted(strangers)[:5]} ({len(strangers)} in '
            'all)')
    _load_video_tower(model, parts['backbone'], source)
    if projection:
        load_strictly(model.video_projection, projection, source)
    positions = parts['text_backbone'].get('positional_embedding')
    model.text_backbone.load_pretrained(parts['text_backbone'], source)
    _load_head(model, parts['head'], positions, source)
    return sorted(model.state_dict().keys() - weights.keys())


def _load_video_tower(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load the video tower, unless it has weights of its own."""
    tower = model.backbone
    if model.video_pretrained is not None:
        print_log(f'{source}: its video tower is not used, for video_pretrained.',
                  'current')
        return
    if not state.keys() & tower.state_dict().keys():
        raise InputError(
            f'{source} has the weights of another kind of video tower than '
            f'{type(tower).__name__}; start that from a file of its own, with '
            'video_pretrained')
    tower.load_pretrained(state, source)


def _load_head(model: nn.Module, state: dict[str, Tensor],
               positions: Tensor, source: str) -> None:
    """Load scale and bias, and what there is of the head; the rest from the text."""
    head = model.head
    own = head.state_dict().keys() - {'logit_scale', 'logit_bias'}
    bias = state.get('logit_bias')
    if bias is not None and 'logit_bias' not in head.state_dict():
        state = {key: value for key, value in state.items() if key != 'logit_bias'}
        print_log(f'{source}: its logit_bias of {bias.item():.2f} is left out, as '
                  f'{type(head).__name__} has none here; the ranking by similarity '
                  'does not depend on it', 'current')
    absent = sorted(own - state.keys())
    if absent:
        head.init_from_text_tower(model.text_backbone, positions)
    # A bias that the file lacks keeps the value that it starts with.
    load_strictly(head, state, source, may_lack=('logit_bias', *absent))
    if absent and own & state.keys():
        print_log(f'{source} has a part of the head only: missing {absent[:5]} '
                  f'({len(absent)} in all)', 'current', logging.WARNING)


def read_clip_weights(pretrained: str, arch: str | dict,
                      settings: dict[str, object] | None = None) -> dict:
    """Read a CLIP state dict, float32, and name it as a retriever does.

    ``pretrained`` is a tag of ``open_clip.list_pretrained()`` that goes with ``arch``,
    or a local file: an open_clip checkpoint, an archive of OpenAI's, a Long-CLIP, or a
    checkpoint of a retriever, whose settings are compared with ``settings``, see
    :func:`check_settings`.
    """
    path = pretrained if os.path.exists(pretrained) else _download(pretrained, arch)
    state, file, is_archive = read_checkpoint(path)
    if settings is not None and path == pretrained:
        check_settings(file, settings, f'pretrained={pretrained!r}', starts=True)
    origin = ("an archive of OpenAI's" if is_archive else
              "a Long-CLIP, which started from OpenAI's" if REST in state else '')
    if origin and not clip_config(arch).get('quick_gelu', False):
        raise InputError(
            f'pretrained={pretrained!r} is {origin}, which goes '
            f'with QuickGELU; arch {arch!r} has GELU, use its -quickgelu form')
    if path == pretrained:
        _check_stored_config(pretrained, arch)
    if any(key.startswith('backbone.') for key in state):
        return state
    return rename_clip_weights(convert_to_custom_text_state_dict(state))


def _check_stored_config(path: str, arch: str | dict) -> None:
    """Compare what no weight tells with the ``open_clip_config.json`` beside it."""
    stored = stored_config(os.path.dirname(path)).get('model_cfg')
    if not stored:
        return
    found, own = (
        (config.get('quick_gelu', False), (config.get('vision_cfg') or {}).get(
            'head_width', open_clip.CLIPVisionCfg.head_width))
        for config in (stored, clip_config(arch)))
    if found != own:
        raise InputError(
            f'pretrained={path!r} has (quick_gelu, head_width) of {found}, says the '
            f'open_clip_config.json beside it; arch {arch!r} has {own}')


def rename_clip_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of an open_clip model, or a Long-CLIP, as a retriever does."""
    renamed = {}
    for key, value in state.items():
        part = next((p for p in _PARTS if key.startswith(p)), '')
        key = _PARTS.get(part, '') + key[len(part):]
        renamed[key] = value.float() if value.is_floating_point() else value
    for key in ('head.logit_scale', 'head.logit_bias'):
        if key in renamed:
            renamed[key] = renamed[key].reshape(())
    join_positions(renamed, 'text_backbone.')
    return renamed


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
        other = (arch.removesuffix('-quickgelu') if quick_gelu else f'{arch}-quickgelu')
        raise InputError(f'pretrained={tag!r} was trained with another activation than '
                         f'arch {arch!r} has; use arch {other!r}')
    hub = config.get('hf_hub')  # which open_clip prefers
    print_log(f'Weights {tag!r} of {arch} from {hub or config.get("url")}, kept in '
              f'{HF_HUB_CACHE if hub else os.path.expanduser("~/.cache/clip")}',
              'current')
    try:
        return open_clip.download_pretrained(config)
    except Exception as error:  # of whichever client the tag's host needs
        raise InputError(
            f'pretrained={tag!r} cannot be downloaded '
            f'({type(error).__name__}); without a network, give a local file '
            'or pretrained=None') from error
