"""Detect a checkpoint's origin, an entry of :data:`SOURCES`, and map keys both ways."""
import re
from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from mmaction_centerclip.clip.weights import REST, rename_clip_weights
from mmaction_centerclip.errors import InputError

# In CenterCLIP a neck's embedding lies inside the block that it precedes.
_CLUSTER_EMBED = re.compile(
    r'backbone\.transformer\.resblocks\.(\d+)\.tokencluster_inter\.cluster_embed$')
# In TempMe a join's embedding, (1, clips, 1, C), lies likewise.
_CLIP_EMBED = re.compile(
    r'backbone\.transformer\.resblocks\.(\d+)\.TVPt_Video_Positional_embedding$')
# What CLIP4Clip and CenterCLIP have beside CLIP, and CLIPSimilarity has not.
_CLIP4CLIP = re.compile(r'(transformerClip|frame_position_embeddings|lstm_visual|cross|'
                        r'similarity_dense)\.|.*\.tokencluster_inter\.')
# CLIP4Clip's heads, and how the beginnings of their keys are called here.
_HEADS = {
    'SequentialTransformerHead': {
        'transformerClip.': 'transformer.',
        'frame_position_embeddings.weight': 'position_embedding',
    },
    'SequentialLSTMHead': {'lstm_visual.': 'lstm.'},
    'TightTransformerHead': {
        'cross.transformer.': 'transformer.',
        'cross.embeddings.position_embeddings.weight': 'position_embedding',
        'cross.pooler.ln_pool.': 'ln_pool.',
        'cross.pooler.dense.': 'dense.',
        'similarity_dense.': 'similarity_dense.',
    },
}
# Hugging Face's names, and OpenAI's.
_RENAMES = {
    r'^vision_model\.': 'visual.',
    r'^text_model\.': '',
    r'embeddings\.': '',
    r'encoder\.layers\.': 'transformer.resblocks.',
    r'layer_norm([12])': r'ln_\1',
    r'mlp\.fc1': 'mlp.c_fc',
    r'mlp\.fc2': 'mlp.c_proj',
    r'self_attn\.': 'attn.',
    r'patch_embedding': 'conv1',
    r'position_embedding\.weight': 'positional_embedding',
    r'pre_layrnorm': 'ln_pre',
    r'post_layernorm': 'ln_post',
    r'final_layer_norm': 'ln_final',
    r'visual_projection\.weight': 'visual.proj',
    r'text_projection\.weight': 'text_projection',
}


def find_head(state: dict[str, Tensor]) -> tuple[str, dict[str, str]]:
    """Find the head's type, and how it renames beginnings of keys."""
    for kind, names in _HEADS.items():
        if any(key.startswith(next(iter(names))) for key in state):
            return kind, names
    return 'MeanPoolingHead', {}


def rename_clip4clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the towers' stored weights as OpenAI does, the head's as a retriever."""
    _, names = find_head(state)
    renamed = {}
    for key, value in state.items():
        old = next((old for old in names if key.startswith(old)), None)
        if old is not None:
            key = f'head.{names[old]}{key[len(old):]}'
        renamed[key.removeprefix('clip.')] = value
    return renamed


def rename_huggingface(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the stored weights of ``transformers.CLIPModel`` as OpenAI does."""
    renamed, packed = {}, {}
    for key, value in state.items():
        for theirs, ours in _RENAMES.items():
            key = re.sub(theirs, ours, key)
        projection = re.fullmatch(r'(.*attn\.)([qkv])_proj\.(weight|bias)', key)
        if projection:
            block, name, kind = projection.groups()
            packed.setdefault(f'{block}in_proj_{kind}', {})[name] = value
        else:
            transposed = key in ('visual.proj', 'text_projection')
            renamed[key] = value.T.contiguous() if transposed else value
    for key, parts in packed.items():
        if len(parts) != 3:
            raise InputError(f'the weights lack a part of {key}, there is only '
                             f'{sorted(parts)} of q, k, v')
        renamed[key] = torch.cat([parts[name] for name in 'qkv'])
    return renamed


class Source(NamedTuple):
    """A kind of checkpoint that can be converted."""
    title: str  # as messages call it
    matches: Callable[[Collection[str]], bool]  # by the keys of a checkpoint
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]  # as OpenAI does


def _has(keys: Collection[str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)


SOURCES = {
    'longclip': Source(
        'Long-CLIP, with the positions of long captions',
        lambda keys: 'visual.conv1.weight' in keys and REST in keys, dict),
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
"""Projects whose checkpoints are known, by name."""


def detect_sources(keys: Collection[str]) -> list[str]:
    """List the keys of :data:`SOURCES` that a state dict may be of, by its keys."""
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
    """Name the stored weights of a kind in :data:`SOURCES` as a retriever does.

    Return float32 weights, with TempMe's adapters in them; the keys that have no place;
    and the embeddings of necks by the block that they precede, from 1: CenterCLIP's
    (K, C), TempMe's (1, clips, 1, C).
    """
    state = SOURCES[kind].rename(state)
    unused = [key for key in state if key.endswith('position_ids')]
    state = {key: value for key, value in state.items() if key not in unused}
    weights, embeddings = {}, {}
    renamed = rename_clip_weights(convert_to_custom_text_state_dict(state))
    for key in [key for key in renamed if key.endswith('.TVPt_LoRA_b')]:
        start = key.removesuffix('TVPt_LoRA_b')
        if f'{start}TVPt_LoRA_a' not in renamed:
            raise InputError(f'the weights lack {start}TVPt_LoRA_a, but have {key}')
        product = renamed.pop(key) @ renamed.pop(f'{start}TVPt_LoRA_a')
        renamed[f'{start}in_proj_weight'] = renamed[f'{start}in_proj_weight'] + product
    for key, value in renamed.items():
        block = _CLUSTER_EMBED.match(key) or _CLIP_EMBED.match(key)
        if block:
            embeddings[int(block[1]) + 1] = value
        elif key.startswith(('backbone.', 'text_backbone.', 'head.')):
            weights[key] = value
        else:
            unused.append(key)
    return weights, sorted(unused), embeddings


def to_open_clip(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Name a retriever's weights as open_clip does, and list keys without a place."""
    if 'text_backbone.positional_embedding' not in state:
        raise InputError('not the weights of a retriever of this project; the '
                         f'first keys are {sorted(state)[:5]}')
    if any('.lora_' in key for key in state):
        raise InputError('the towers have LoRA, which open_clip has not; merge it '
                         'with tools/model_converters/merge_lora.py')
    if 'backbone.conv2.weight' in state:
        raise InputError('the vision tower sees 3-D patches, which open_clip '
                         'has not')
    # Text towers of CLIP's own form are at the top; open_clip's CustomTextCLIP,
    # whose projections may be others, takes those too.
    text = '' if 'text_backbone.text_projection' in state else 'text.'
    renamed, dropped = {}, []
    for key, value in state.items():
        tower, _, rest = key.partition('.')
        if key in ('head.logit_scale', 'head.logit_bias'):
            renamed[rest] = value
        elif tower == 'text_backbone':
            renamed[f'{text}{rest}'] = value
        elif tower == 'backbone' and not rest.startswith('necks.'):
            renamed[f'visual.{rest}'] = value
        else:
            dropped.append(key)
    return renamed, dropped
