"""What passes between a vision transformer's blocks and its necks."""
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['VideoTokens']


class VideoTokens(NamedTuple):
    """The tokens of a batch of videos between two transformer blocks.

    Attributes:
        prefix (Tensor): Class and register tokens, shape (B, T, P, C).
        patches (Tensor): Patch tokens, shape (B, T, N, C).
        frame_mask (Tensor, optional): True where a frame (later a segment)
            is real, bool (B, T). None where all are.
    """
    prefix: Tensor
    patches: Tensor
    frame_mask: Tensor | None = None

    @classmethod
    def split(cls,
              tokens: Tensor,
              num_frames: int,
              num_prefix_tokens: int,
              frame_mask: Tensor | None = None) -> 'VideoTokens':
        """View a transformer's tokens (B * T, P + N, C) as videos."""
        tokens = tokens.unflatten(0, (-1, num_frames))
        return cls(tokens[:, :, :num_prefix_tokens],
                   tokens[:, :, num_prefix_tokens:], frame_mask)

    def join(self) -> Tensor:
        """The transformer's own layout, shape (B * T, P + N, C)."""
        return torch.cat([self.prefix, self.patches], dim=2).flatten(0, 1)
