"""CLIP's transformer blocks, as the heads use them."""
import logging
from functools import partial

import torch
from mmengine.logging import print_log
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower

from .base import check_positive

__all__ = ['build_transformer', 'copy_text_weights', 'key_mask']


def build_transformer(head: nn.Module, embed_dims: int, num_layers: int,
                      num_heads: int | None, layer_norm_eps: float,
                      quick_gelu: bool) -> Transformer:
    """CLIP's blocks, for a head with these options.

    Raises:
        InputError: If the options do not make a transformer.
    """
    check_positive(head, embed_dims=embed_dims, num_layers=num_layers)
    if num_heads is None:
        num_heads = max(1, embed_dims // 64)
    check_positive(head, num_heads=num_heads)
    if embed_dims % num_heads:
        raise InputError(
            f'{type(head).__name__}: num_heads must divide embed_dims, got '
            f'{num_heads} heads for {embed_dims} dimensions')
    if not layer_norm_eps > 0:
        raise InputError(f'{type(head).__name__}: layer_norm_eps must be '
                         f'positive, got {layer_norm_eps!r}')
    return Transformer(
        width=embed_dims,
        layers=num_layers,
        heads=num_heads,
        act_layer=QuickGELU if quick_gelu else nn.GELU,
        norm_layer=partial(LayerNorm, eps=layer_norm_eps))


def key_mask(transformer: Transformer, mask: Tensor) -> Tensor:
    """What to add to attention logits so that only some tokens are seen.

    Args:
        transformer (Transformer): With equally many heads in all blocks.
        mask (Tensor): Bool (B, L), True where a token is to be seen, which
            is at least one token of each.

    Returns:
        Tensor: Shape (B * heads, L, L), 0 or minus infinity.
    """
    attention = transformer.resblocks[0].attn
    heads = attention.num_heads
    batch, length = mask.shape
    bias = torch.zeros(
        batch, length, dtype=attention.in_proj_weight.dtype, device=mask.device)
    bias = bias.masked_fill(~mask, float('-inf'))[:, None, None]
    return bias.expand(batch, heads, length, length).flatten(0, 1)


@torch.no_grad()
def copy_text_weights(head: nn.Module,
                      tower: CLIPTextTower,
                      positions: Tensor | None = None) -> None:
    """Copy CLIP's first text blocks and positions into a head.

    Args:
        head (nn.Module): With a ``transformer`` and ``position_embedding``.
        tower (CLIPTextTower): With pretrained weights.
        positions (Tensor, optional): Shape (L, E). Defaults to None: the
            tower's.
    """
    if positions is None:
        positions = tower.positional_embedding
    ours, theirs = head.position_embedding.shape[1], positions.shape[1]
    blocks = list(
        zip(head.transformer.resblocks, tower.transformer.resblocks))
    problem = None
    if ours != theirs:
        problem = f'is {theirs} wide, the head {ours}'
    elif any(type(block.mlp.gelu) is not type(other.mlp.gelu)
             for block, other in blocks):
        theirs = type(blocks[0][1].mlp.gelu).__name__
        problem = f'has {theirs}; set quick_gelu={theirs == "QuickGELU"}'
    elif any(block.attn.num_heads != other.attn.num_heads
             for block, other in blocks):
        problem = f'has num_heads={blocks[0][1].attn.num_heads}; set that'
    elif any(_shapes(block) != _shapes(other) for block, other in blocks):
        problem = f'has blocks of another kind, though both are {ours} wide'
    if problem is not None:
        print_log(
            f'{type(head).__name__} does not start from the text tower, which '
            f'{problem}.', 'current', logging.WARNING)
        return
    for block, other in blocks:
        block.load_state_dict(other.state_dict())
    rows = min(len(head.position_embedding), len(positions))
    head.position_embedding[:rows] = positions[:rows]


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: x.shape for name, x in module.state_dict().items()}
