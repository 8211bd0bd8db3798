"""The sizes of a CLIP model, read off its weights."""
import math

from torch import Tensor

from mmaction_centerclip.errors import InputError

__all__ = ['infer_arch']


def infer_arch(state: dict[str, Tensor],
               quick_gelu: bool = True,
               head_width: int = 64,
               text_head_width: int = 64) -> dict:
    """The architecture that a retriever's weights belong to.

    Width, layers, patch and image size, context length, vocabulary and
    embedding are those of the weights. The width of an attention head and the
    activation leave no trace in them; every CLIP of OpenAI has 64 and
    QuickGELU.

    Args:
        state (dict[str, Tensor]): Under ``backbone.`` and ``text_backbone.``.
        quick_gelu (bool): Whether the activation is QuickGELU.
            Defaults to True.
        head_width (int): Of the vision tower. Defaults to 64.
        text_head_width (int): Defaults to 64.

    Returns:
        dict: As :func:`clip_config` takes it.

    Raises:
        InputError: If the weights lack what says a size.
    """
    try:
        conv = state['backbone.conv1.weight']
        positions = state['backbone.positional_embedding']
        projection = state['backbone.proj']
        words = state['text_backbone.token_embedding.weight']
        context = state['text_backbone.positional_embedding']
        hidden = state['backbone.transformer.resblocks.0.mlp.c_fc.weight']
        text_hidden = state[
            'text_backbone.transformer.resblocks.0.mlp.c_fc.weight']
    except KeyError as error:
        raise InputError(f'the weights lack {error}, which tells a size of '
                         'the model') from None
    grid = math.isqrt(len(positions) - 1)
    if grid**2 != len(positions) - 1:
        raise InputError('the positional embedding must be of a class token '
                         f'and a square grid, got {len(positions)} positions')
    width, text_width = len(conv), words.shape[1]
    for name, size, head in (('vision', width, head_width),
                             ('text', text_width, text_head_width)):
        if size % head:
            raise InputError(f'the width of an attention head, {head}, must '
                             f'divide the {name} width {size}')
    vision = dict(
        image_size=grid * conv.shape[-1],
        patch_size=conv.shape[-1],
        width=width,
        layers=_count_blocks(state, 'backbone.'),
        head_width=head_width,
        mlp_ratio=len(hidden) / width)
    text = dict(
        context_length=len(context),
        vocab_size=len(words),
        width=text_width,
        heads=text_width // text_head_width,
        layers=_count_blocks(state, 'text_backbone.'),
        mlp_ratio=len(text_hidden) / text_width)
    return dict(
        embed_dim=projection.shape[1],
        quick_gelu=quick_gelu,
        vision_cfg=vision,
        text_cfg=text)


def _count_blocks(state: dict, tower: str) -> int:
    prefix = f'{tower}transformer.resblocks.'
    return len({
        key[len(prefix):].split('.')[0]
        for key in state if key.startswith(prefix)
    })
