"""Weights of one CLIP under the names that others give them."""
import re

import torch

ARCH = dict(
    embed_dim=16,
    quick_gelu=True,
    vision_cfg=dict(image_size=64, patch_size=16, width=64, layers=3),
    text_cfg=dict(
        context_length=16, vocab_size=500, width=64, heads=1, layers=2))


def huggingface(clip):
    """The names of transformers.CLIPModel, written from its documentation."""
    state = {}
    for key, value in clip.state_dict().items():
        tower = 'vision' if key.startswith('visual.') else 'text'
        block = re.match(r'(?:visual\.)?transformer\.resblocks\.(\d+)\.(.*)', key)
        if block:
            layer = f'{tower}_model.encoder.layers.{block[1]}.'
            part = block[2]
            if part.startswith('attn.in_proj_'):
                for name, chunk in zip('qkv', value.chunk(3)):
                    state[f'{layer}self_attn.{name}_proj.{part[13:]}'] = chunk
                continue
            for ours, theirs in (('attn.out_proj', 'self_attn.out_proj'),
                                 ('ln_', 'layer_norm'), ('c_fc', 'fc1'),
                                 ('c_proj', 'fc2')):
                part = part.replace(ours, theirs)
            state[layer + part] = value
    own = clip.state_dict()
    vision, text = 'vision_model.', 'text_model.'
    state.update({
        vision + 'embeddings.class_embedding': own['visual.class_embedding'],
        vision + 'embeddings.patch_embedding.weight': own['visual.conv1.weight'],
        vision + 'embeddings.position_embedding.weight':
        own['visual.positional_embedding'],
        vision + 'embeddings.position_ids': torch.arange(17)[None],
        vision + 'pre_layrnorm.weight': own['visual.ln_pre.weight'],
        vision + 'pre_layrnorm.bias': own['visual.ln_pre.bias'],
        vision + 'post_layernorm.weight': own['visual.ln_post.weight'],
        vision + 'post_layernorm.bias': own['visual.ln_post.bias'],
        text + 'embeddings.token_embedding.weight': own['token_embedding.weight'],
        text + 'embeddings.position_embedding.weight':
        own['positional_embedding'],
        text + 'embeddings.position_ids': torch.arange(16)[None],
        text + 'final_layer_norm.weight': own['ln_final.weight'],
        text + 'final_layer_norm.bias': own['ln_final.bias'],
        'visual_projection.weight': own['visual.proj'].T,
        'text_projection.weight': own['text_projection'].T,
        'logit_scale': own['logit_scale'],
    })
    return state


def prefixed(clip):
    return {f'clip.{key}': value for key, value in clip.state_dict().items()}
