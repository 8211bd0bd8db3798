"""Map the keys of Hugging Face's ``CLIPModel`` to OpenAI's."""
import re

import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError

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


def rename_huggingface(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the stored weights of ``transformers.CLIPModel`` as OpenAI does.

    Raises:
        InputError: If a part of an attention's projection is missing.
    """
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
