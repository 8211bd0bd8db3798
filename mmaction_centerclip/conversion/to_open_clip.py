"""Convert a retriever's weights back to open_clip's."""
from torch import Tensor

from mmaction_centerclip.errors import InputError


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
