"""Whose weights a file holds, and what ours are called."""
import re

import torch
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.retrievers import rename_clip_weights

__all__ = ['KINDS', 'convert_state', 'detect_kind', 'head_of', 'is_ambiguous']

KINDS = {
    'openai': "a CLIP of OpenAI's or open_clip's",
    'clip4clip': 'CLIP4Clip or CenterCLIP',
    'clipsimilarity': "MMAction2's CLIPSimilarity",
    'huggingface': "Hugging Face's CLIPModel",
    'retriever': 'a retriever of this project',
}

# In CenterCLIP a neck's embedding lies inside the block that it precedes.
_CLUSTER_EMBED = re.compile(
    r'visual\.transformer\.resblocks\.(\d+)\.tokencluster_inter\.'
    r'cluster_embed$')
# What CLIP4Clip and CenterCLIP have beside CLIP, and CLIPSimilarity has not.
_CLIP4CLIP = re.compile(
    r'(transformerClip|frame_position_embeddings|lstm_visual|cross|'
    r'similarity_dense)\.|.*\.tokencluster_inter\.')
_NO_WEIGHTS = re.compile(r'(visual\.)?(text_model\.|vision_model\.)?'
                         r'(embeddings\.)?position_ids$')


def detect_kind(state: dict, meta: dict) -> str:
    """Name the kind of a state dict by its keys.

    Args:
        state (dict[str, Tensor]): As stored.
        meta (dict): What the file holds beside it.

    Returns:
        str: A key of :data:`KINDS`.

    Raises:
        InputError: If it is none of them, with some of its keys.
    """
    names = set(state)
    if any(name.startswith('vision_model.') for name in names):
        return 'huggingface'
    if any(name.startswith('text_backbone.') for name in names):
        return 'retriever'
    if 'clip.visual.conv1.weight' in names:
        if any(name.startswith('adapter.') for name in names):
            return 'clipsimilarity'
        if any(_CLIP4CLIP.match(name) for name in names):
            return 'clip4clip'
        return 'clipsimilarity' if 'meta' in meta else 'clip4clip'
    if any('visual.layer1.' in name for name in names):
        raise InputError("a CLIP whose vision tower is a ResNet, which has no "
                         'transformer blocks')
    if 'visual.conv1.weight' in names:
        return 'openai'
    raise InputError('none of the known kinds of CLIP weights '
                     f'({", ".join(KINDS.values())}); its first keys are '
                     f'{sorted(map(str, names))[:5]}')


def is_ambiguous(state: dict, kind: str) -> bool:
    """Whether CLIP4Clip and CLIPSimilarity look alike in this state dict."""
    return kind in ('clip4clip', 'clipsimilarity') and not any(
        name.startswith('adapter.') or _CLIP4CLIP.match(name) for name in state)


# CLIP4Clip's heads, and what they call their weights.
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


def head_of(state: dict[str, Tensor],
            layer_norm_eps: float = 1e-12) -> tuple[dict, dict[str, str]]:
    """The head that CLIP4Clip's weights are of.

    Args:
        state (dict[str, Tensor]): As stored.
        layer_norm_eps (float): Of the head's layer norms, which the weights
            do not tell. Defaults to 1e-12, CLIP4Clip's.

    Returns:
        tuple[dict, dict[str, str]]: The head's config, and our name of each
        of its weights.
    """
    for kind, names in _HEADS.items():
        if not any(key.startswith(next(iter(names))) for key in state):
            continue
        renamed = {
            key: f'head.{new}{key[len(old):]}'
            for old, new in names.items() for key in state
            if key.startswith(old)
        }
        config = dict(type=kind, embed_dims=state['clip.text_projection'].shape[1])
        positions = [k for k, v in names.items() if v == 'position_embedding']
        if positions:
            blocks = {re.search(r'resblocks\.(\d+)', k)[1]
                      for k in renamed if 'resblocks' in k}
            rows = len(state[positions[0]])
            tight = kind == 'TightTransformerHead'
            config.update(
                num_layers=len(blocks),
                layer_norm_eps=layer_norm_eps,
                **{'max_positions' if tight else 'max_segments': rows})
        return config, renamed
    return dict(type='MeanPoolingHead'), {}


def convert_state(state: dict[str, Tensor],
                  kind: str) -> tuple[dict[str, Tensor], list[str], dict]:
    """Name weights as a retriever does.

    Args:
        state (dict[str, Tensor]): As stored.
        kind (str): What :func:`detect_kind` says.

    Returns:
        tuple[dict[str, Tensor], list[str], dict[int, Tensor]]: float32
        weights under ``backbone.``, ``text_backbone.`` and ``head.``; the
        keys that have no place; and CenterCLIP's cluster embeddings (K, C)
        by the block that they precede, counted from 1.
    """
    if kind == 'retriever':
        return dict(state), [], {}
    if kind == 'huggingface':
        state = _from_huggingface(state)
    unused, head = [], {}
    if kind in ('clip4clip', 'clipsimilarity'):
        _, names = head_of(state)
        head = {new: state[old].float() for old, new in names.items()}
        unused = [key for key in state
                  if not key.startswith('clip.') and key not in names]
        state = {
            key[len('clip.'):]: value
            for key, value in state.items() if key.startswith('clip.')
        }
    embeddings = {}
    for key in list(state):
        match = _CLUSTER_EMBED.match(key)
        if match:
            embeddings[int(match[1]) + 1] = state.pop(key).float()
        elif _NO_WEIGHTS.match(key):
            unused.append(key)
            del state[key]
    renamed = rename_clip_weights(convert_to_custom_text_state_dict(state))
    strangers = [
        key for key in renamed if not key.startswith(
            ('backbone.', 'text_backbone.', 'head.logit_scale'))
    ]
    for key in strangers:
        del renamed[key]
    return dict(renamed, **head), sorted(unused + strangers), embeddings


_HF_LAYER = re.compile(
    r'(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$')
_HF_PARTS = {
    'layer_norm1': 'ln_1',
    'layer_norm2': 'ln_2',
    'mlp.fc1': 'mlp.c_fc',
    'mlp.fc2': 'mlp.c_proj',
    'self_attn.out_proj': 'attn.out_proj',
}
_HF_NAMES = {
    'vision_model.embeddings.class_embedding': 'visual.class_embedding',
    'vision_model.embeddings.patch_embedding.weight': 'visual.conv1.weight',
    'vision_model.embeddings.position_embedding.weight':
    'visual.positional_embedding',
    'vision_model.pre_layrnorm.weight': 'visual.ln_pre.weight',
    'vision_model.pre_layrnorm.bias': 'visual.ln_pre.bias',
    'vision_model.post_layernorm.weight': 'visual.ln_post.weight',
    'vision_model.post_layernorm.bias': 'visual.ln_post.bias',
    'text_model.embeddings.token_embedding.weight': 'token_embedding.weight',
    'text_model.embeddings.position_embedding.weight': 'positional_embedding',
    'text_model.final_layer_norm.weight': 'ln_final.weight',
    'text_model.final_layer_norm.bias': 'ln_final.bias',
    'logit_scale': 'logit_scale',
}
_HF_TRANSPOSED = {
    'visual_projection.weight': 'visual.proj',
    'text_projection.weight': 'text_projection',
}


def _from_huggingface(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names of the weights of ``transformers.CLIPModel``."""
    renamed, packed = {}, {}
    for key, value in state.items():
        layer = _HF_LAYER.match(key)
        if layer:
            tower, number, part, kind = layer.groups()
            block = (f'{"visual." if tower == "vision" else ""}transformer.'
                     f'resblocks.{number}.')
            if part.startswith('self_attn.') and part[-7:] in (
                    '.q_proj', '.k_proj', '.v_proj'):
                packed.setdefault(f'{block}attn.in_proj_{kind}',
                                  {})[part[-6]] = value
            else:
                renamed[f'{block}{_HF_PARTS.get(part, part)}.{kind}'] = value
        elif key in _HF_TRANSPOSED:
            renamed[_HF_TRANSPOSED[key]] = value.T.contiguous()
        else:
            renamed[_HF_NAMES.get(key, key)] = value
    for key, parts in packed.items():
        if len(parts) != 3:
            raise InputError(f'the weights lack a part of {key}, there is only '
                             f'{sorted(parts)} of q, k, v')
        renamed[key] = torch.cat([parts[name] for name in 'qkv'])
    return renamed
