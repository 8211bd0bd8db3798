"""CLIP's transformer blocks and positions, for heads that start from them."""
import logging
from functools import partial

import torch
from mmengine.logging import print_log
from open_clip.transformer import LayerNorm, QuickGELU, Transformer
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower
from mmaction_centerclip.utils.option_types import NotNegative, Positive, PositiveInt


class TextTransformerMixin:
    """Add blocks and learned positions like the text tower's to a head.

    Stands in front of the head's base class.

    Args:
        num_heads (int, optional): None: one for every 64 of ``embed_dims``.
        layer_norm_eps (float): CLIP4Clip has 1e-12, CenterCLIP 1e-5.
        quick_gelu (bool): Whether to use QuickGELU, as in OpenAI's text tower.
        init_position_std (float): Of positions not copied from CLIP. Those of 0.01 take
            long to matter in a model that is trained from scratch.
    """

    def __init__(self, embed_dims: PositiveInt, num_positions: PositiveInt,
                 num_layers: PositiveInt = 4, num_heads: PositiveInt | None = None,
                 layer_norm_eps: Positive = 1e-5, quick_gelu: bool = True,
                 init_position_std: NotNegative = 0.01, **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = embed_dims
        if num_heads is None:
            num_heads = max(1, embed_dims // 64)
        if embed_dims % num_heads:
            raise InputError(
                f'{type(self).__name__}: num_heads must divide embed_dims, got '
                f'{num_heads} heads for {embed_dims} dimensions')
        self.transformer = Transformer(
            width=embed_dims, layers=num_layers, heads=num_heads,
            act_layer=QuickGELU if quick_gelu else nn.GELU,
            norm_layer=partial(LayerNorm, eps=layer_norm_eps))
        self.position_embedding = nn.Parameter(
            init_position_std * torch.randn(num_positions, embed_dims))

    def relate(self, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """Add positions to tokens, and pass them through the blocks."""
        attention = self.transformer.resblocks[0].attn
        heads, length = attention.num_heads, tokens.shape[1]
        bias = attention.in_proj_weight.new_zeros(token_mask.shape)
        bias = bias.masked_fill(~token_mask, float('-inf'))[:, None, None]
        return self.transformer(
            tokens + self.position_embedding[:length],
            attn_mask=bias.expand(-1, heads, length, -1).flatten(0, 1))

    @torch.no_grad()
    def init_from_text_tower(self, tower: CLIPTextTower,
                             positions: Tensor | None = None) -> None:
        """Copy the first blocks and positions of CLIP's text tower.

        Blocks and positions beyond the tower's keep their initialisation, as does
        everything, with a warning, if the tower's blocks are others.
        """
        if positions is None:
            positions = tower.positional_embedding
        blocks = list(zip(self.transformer.resblocks, tower.transformer.resblocks))
        difference = _find_difference(self.embed_dims, positions.shape[1], *blocks[0])
        if difference is not None:
            print_log(f'{type(self).__name__} does not start from the text tower, '
                      f'which {difference}.', 'current', logging.WARNING)
            return
        for block, source in blocks:
            block.load_state_dict(source.state_dict())
        rows = min(len(self.position_embedding), len(positions))
        self.position_embedding[:rows] = positions[:rows]


def _find_difference(width: int, other_width: int, block: nn.Module,
                     other: nn.Module) -> str | None:
    """Return what keeps a head from starting from the text tower's blocks."""
    if width != other_width:
        return f'is {other_width} wide, the head {width}'
    activation = type(other.mlp.gelu)
    if type(block.mlp.gelu) is not activation:
        return (f'has {activation.__name__}; set '
                f'quick_gelu={activation is QuickGELU}')
    if block.attn.num_heads != other.attn.num_heads:
        return f'has num_heads={other.attn.num_heads}; set that'
    shapes, other_shapes = ({k: x.shape for k, x in each.state_dict().items()}
                            for each in (block, other))
    if shapes != other_shapes:
        return f'has blocks of another kind, though both are {width} wide'
    return None
