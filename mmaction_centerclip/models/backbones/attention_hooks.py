"""Read the keys and the attention of a host's block, and bias its attention."""
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.lora import adapted_weight

Part = tuple[Tensor, Tensor | None]
"""Weight (H * D, C) and bias (H * D, ) of the queries or keys of H heads."""
Rows = Callable[[Tensor], Tensor]
"""A linear map of the rows of a weight, or of a bias."""


@dataclass(eq=False)
class AttentionHooks:
    """Hold what merging necks need of a block's attention."""
    attention: Callable[..., Tensor]
    """Has its residual; its ``bias`` (B, L) is added to the logits of keys."""
    norm: Callable[[Tensor], Tensor]
    """Norm of the tokens in front of the projections."""
    part: Callable[[int, Rows], Part]
    """Returns the projection of queries (0) or keys (1), adapters included, with its
    rows mapped."""
    head_dim: int
    query_norm: nn.Module | None = None
    key_norm: nn.Module | None = None
    turn: Callable[[Tensor, Tensor], Tensor] | None = None
    """Turns queries or keys (B, H, L, D) by rotary positions, where there are any."""

    def keys(self, x: Tensor) -> Tensor:
        """Map tokens (B, L, C) to their keys (B, L, D), averaged over the heads.

        Where positions are rotary, those before they are turned.
        """
        heads = -1, self.head_dim
        if self.key_norm is None or isinstance(self.key_norm, nn.Identity):
            # The mean of linear maps is one linear map, which is H times cheaper.
            mean = self.part(1, lambda rows: rows.unflatten(0, heads).mean(0))
            return F.linear(self.norm(x), *mean)
        keys = F.linear(self.norm(x), *self.part(1, lambda rows: rows))
        return self.key_norm(keys.unflatten(-1, heads)).mean(-2)

    def entropy(self, x: Tensor, rope: Tensor | None = None) -> Tensor:
        """Map tokens (B, L, C) to the entropy (B, L, 1) of their attention, in nats.

        Of the mean of the heads' attention, without a bias, in float64: saliency is
        made of differences of entropies, which may agree in five digits.
        """
        x, turned = self.norm(x), []
        for number, norm in enumerate((self.query_norm, self.key_norm)):
            heads = F.linear(x, *self.part(number, lambda rows: rows))
            heads = heads.unflatten(-1, (-1, self.head_dim))
            heads = (heads if norm is None else norm(heads)).transpose(1, 2)
            turned.append(heads if rope is None else self.turn(heads, rope))
        queries, keys = turned  # there may be fewer heads of keys
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
        logits = queries @ keys.mT * self.head_dim**-0.5
        attention = logits.float().softmax(dim=-1).mean(dim=1)
        if attention.device.type != 'mps':  # which has no float64
            attention = attention.double()
        # What a row's sum in float32 lacks of 1 would weigh more than they differ.
        attention = attention / attention.sum(dim=-1, keepdim=True)
        return torch.special.entr(attention).sum(dim=-1, keepdim=True)


def third(layer: nn.Module, bias: Tensor | None, number: int, rows: Rows,
          name: str = 'weight') -> Part:
    """Return a part of the queries, keys and values in one weight of a layer."""

    def own(values: Tensor) -> Tensor:
        return rows(values.chunk(3)[number])

    return adapted_weight(layer, name, own), None if bias is None else own(bias)
