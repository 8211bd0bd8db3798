"""Detect a checkpoint's origin and map its keys.

A new source is one entry of :data:`SOURCES`.
"""
import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from mmaction_centerclip.clip.weights import rename_clip_weights
from mmaction_centerclip.errors import InputError

from .clip4clip import rename_clip4clip
from .huggingface import rename_huggingface

# In CenterCLIP a neck's embedding lies inside the block that it precedes.
_CLUSTER_EMBED = re.compile(
    r'backbone\.transformer\.resblocks\.(\d+)\.tokencluster_inter\.cluster_embed$')
# What CLIP4Clip and CenterCLIP have beside CLIP, and CLIPSimilarity has not.
_CLIP4CLIP = re.compile(r'(transformerClip|frame_position_embeddings|lstm_visual|cross|'
                        r'similarity_dense)\.|.*\.tokencluster_inter\.')


class Source(NamedTuple):
    """A kind of checkpoint that can be converted.

    Attributes:
        title (str): What messages call it.
        matches (Callable): Whether a checkpoint is of this kind, by its keys;
            several kinds match where the weights do not tell them apart.
        rename (Callable): Names its state dict as OpenAI's CLIP does, and a
            head's weights as a retriever, under ``head.``.
    """
    title: str
    matches: Callable[[Collection[str]], bool]
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]


def _has(keys: Collection[str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)


SOURCES = {
    'openai': Source(
        "a CLIP of OpenAI's or open_clip's",
        lambda keys: 'visual.conv1.weight' in keys, dict),
    'huggingface': Source(
        "Hugging Face's CLIPModel",
        lambda keys: _has(keys, 'vision_model.'), rename_huggingface),
    'clip4clip': Source(
        'CLIP4Clip or CenterCLIP',
        lambda keys: _has(keys, 'clip.visual.') and not _has(keys, 'adapter.'),
        rename_clip4clip),
    'clipsimilarity': Source(
        "MMAction2's CLIPSimilarity",
        lambda keys: _has(keys, 'clip.visual.') and (
            _has(keys, 'adapter.') or not any(map(_CLIP4CLIP.match, keys))),
        rename_clip4clip),
}


def detect_sources(keys: Collection[str]) -> list[str]:
    """List the keys of :data:`SOURCES` that a state dict may be of, by its keys.

    Raises:
        InputError: If there is none, with some of the keys.
    """
    if _has(keys, 'text_backbone.'):
        raise InputError('a retriever of this project, which needs no conversion')
    if any('visual.layer1.' in key for key in keys):
        raise InputError('a CLIP whose vision tower is a ResNet, which has no '
                         'transformer blocks')
    if _has(keys, 'visual.trunk.'):
        raise InputError("a CLIP whose vision tower is timm's, which needs no "
                         'conversion: write its architecture as model.arch of a '
                         'config, and the file as model.pretrained')
    found = [name for name, source in SOURCES.items() if source.matches(keys)]
    if not found:
        titles = ', '.join(source.title for source in SOURCES.values())
        raise InputError(f'none of the known kinds of CLIP weights ({titles}); '
                         f'its first keys are {sorted(keys)[:5]}')
    return found


def convert_state(state: dict[str, Tensor],
                  kind: str) -> tuple[dict[str, Tensor], list[str], dict]:
    """Name weights as a retriever does.

    Args:
        state (dict[str, Tensor]): As stored.
        kind (str): A key of :data:`SOURCES`.

    Returns:
        tuple[dict[str, Tensor], list[str], dict[int, Tensor]]: float32
        weights under ``backbone.``, ``text_backbone.`` and ``head.``; the
        keys that have no place; and CenterCLIP's cluster embeddings (K, C)
        by the block that they precede, counted from 1.
    """
    state = SOURCES[kind].rename(state)
    unused = [key for key in state if key.endswith('position_ids')]
    state = {key: value for key, value in state.items() if key not in unused}
    weights, embeddings = {}, {}
    renamed = rename_clip_weights(convert_to_custom_text_state_dict(state))
    for key, value in renamed.items():
        block = _CLUSTER_EMBED.match(key)
        if block:
            embeddings[int(block[1]) + 1] = value
        elif key.startswith(('backbone.', 'text_backbone.', 'head.')):
            weights[key] = value
        else:
            unused.append(key)
    return weights, sorted(unused), embeddings
