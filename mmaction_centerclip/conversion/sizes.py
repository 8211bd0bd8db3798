"""Infer the sizes of a CLIP model from its weights."""
import math

from torch import Tensor

from mmaction_centerclip.errors import InputError


def infer_arch(state: dict[str, Tensor], quick_gelu: bool = True, head_width: int = 64,
               text_head_width: int = 64) -> dict:
    """Infer the architecture that a retriever's weights belong to.

    Width, layers, patch and image size, context length, vocabulary and embedding are
    those of the weights. The width of an attention head and the activation leave no
    trace in them; every CLIP of OpenAI has 64 and QuickGELU.

    Args:
        state (dict[str, Tensor]): Under ``backbone.`` and ``text_backbone.``.
        quick_gelu (bool): Whether the activation is QuickGELU. Defaults to True.
        head_width (int): Width of an attention head of the vision tower.
            Defaults to 64.
        text_head_width (int): Likewise of the text tower. Defaults to 64.

    Returns:
        dict: As :func:`clip_config` takes it.

    Raises:
        InputError: If the weights lack what says a size.
    """
    try:
        vision = _infer_tower(state, 'backbone.', 'vision', head_width)
        text = _infer_tower(state, 'text_backbone.', 'text', text_head_width)
        patch = state['backbone.conv1.weight'].shape[-1]
        positions = len(state['backbone.positional_embedding'])
        text.update(context_length=len(state['text_backbone.positional_embedding']),
                    vocab_size=len(state['text_backbone.token_embedding.weight']),
                    heads=text['width'] // text_head_width)
        embed_dim = state['backbone.proj'].shape[1]
    except KeyError as error:
        raise InputError(f'the weights lack {error}, which tells a size of '
                         'the model') from None
    grid = math.isqrt(positions - 1)
    if grid**2 != positions - 1:
        raise InputError('the positional embedding must be of a class token '
                         f'and a square grid, got {positions} positions')
    vision.update(image_size=grid * patch, patch_size=patch, head_width=head_width)
    return dict(embed_dim=embed_dim, quick_gelu=quick_gelu, vision_cfg=vision,
                text_cfg=text)


def _infer_tower(state: dict[str, Tensor], prefix: str, name: str,
                 head_width: int) -> dict:
    """Infer what both towers have: width, layers and the MLP's ratio."""
    width = state[f'{prefix}positional_embedding'].shape[1]
    if width % head_width:
        raise InputError(f'the width of an attention head, {head_width}, must '
                         f'divide the {name} width {width}')
    blocks = f'{prefix}transformer.resblocks.'
    hidden = len(state[f'{blocks}0.mlp.c_fc.weight'])
    numbers = {key[len(blocks):].split('.')[0]
               for key in state if key.startswith(blocks)}
    return dict(width=width, layers=len(numbers), mlp_ratio=hidden / width)
