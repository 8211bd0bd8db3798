"""The tokens of videos, as a tower hands them to its necks."""
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['VideoTokens']


class VideoTokens(NamedTuple):
    """The tokens of a batch of videos between two steps of a transformer.

    Attributes:
        prefix (Tensor): Class and register tokens, shape (B, T, P, C).
        patches (Tensor): Patch tokens, shape (B, T, N, C).
        frame_mask (Tensor, optional): True where a frame (later a segment)
            is real, bool (B, T). None where all are.
        positions (Tensor, optional): Where each patch token comes from, int64
            (B, T, N): frame * patches of a frame + patch, as the frames were
            before the first neck. None where every patch is at its place.
        size (Tensor, optional): How many patches each patch token stands for,
            int64 (B, T, N). None where that is one.
        keys (Tensor, optional): What the block's attention compared the patch
            tokens by, averaged over its heads, (B, T, N, D). None except
            inside a block, for a neck that needs them.
    """
    prefix: Tensor
    patches: Tensor
    frame_mask: Tensor | None = None
    positions: Tensor | None = None
    size: Tensor | None = None
    keys: Tensor | None = None

    @classmethod
    def split(cls, tokens: Tensor, batch_size: int, num_prefix_tokens: int,
              *others: Tensor | None) -> 'VideoTokens':
        """View a transformer's tokens (B * T, P + N, C) as B videos.

        Args:
            tokens (Tensor): Prefix tokens first.
            batch_size (int): B.
            num_prefix_tokens (int): P.
            *others (Tensor, optional): ``frame_mask``, ``positions`` and
                ``size``.
        """
        tokens = tokens.unflatten(0, (batch_size, -1))
        return cls(tokens[:, :, :num_prefix_tokens],
                   tokens[:, :, num_prefix_tokens:], *others)

    def join(self) -> Tensor:
        """Return the transformer's own layout, shape (B * T, P + N, C)."""
        return torch.cat([self.prefix, self.patches], dim=2).flatten(0, 1)

    def map(self, step: Callable[[Tensor], Tensor]) -> 'VideoTokens':
        """Apply a step of the transformer, which keeps the tokens' layout.

        Args:
            step (Callable): Takes and returns tokens (B * T, P + N, C).
        """
        prefix, patches = step(self.join()).unflatten(0, self.patches.shape[:2]).split(
            [self.prefix.shape[2], self.patches.shape[2]], dim=2)
        return self._replace(prefix=prefix, patches=patches)

    def with_positions(self) -> 'VideoTokens':
        """Return the tokens with ``positions``, each at its place by default."""
        if self.positions is not None:
            return self
        batch_size, frames, patches, _ = self.patches.shape
        positions = torch.arange(frames * patches, device=self.patches.device)
        return self._replace(positions=positions.view(
            1, frames, patches).expand(batch_size, -1, -1))

    def segments(self, num_segments: int) -> 'VideoTokens':
        """View each segment of T / S frames as a video, (B * S, T / S, ...)."""
        return self._map_fields(
            lambda x: x.unflatten(1, (num_segments, -1)).flatten(0, 1))

    def videos(self, num_segments: int) -> 'VideoTokens':
        """View every S videos, one after the other, as one: S times the frames."""
        return self._map_fields(
            lambda x: x.unflatten(0, (-1, num_segments)).flatten(1, 2))

    def take_frames(self, index: Tensor) -> 'VideoTokens':
        """Return the frames of an index, int64 (B, M), any of them repeatedly."""
        batch = torch.arange(len(index), device=index.device)[:, None]
        return self._map_fields(lambda x: x[batch, index])

    def joined_frames(self) -> 'VideoTokens':
        """View the patch tokens of all frames as one frame's, (B, 1, T * N, ...)."""
        joined = VideoTokens(*(None if x is None else x.flatten(1, 2)[:, None]
                               for x in self._replace(prefix=None, frame_mask=None)))
        return joined._replace(prefix=self.prefix, frame_mask=self.frame_mask)

    def _map_fields(self, function: Callable[[Tensor], Tensor]) -> 'VideoTokens':
        return VideoTokens(*(None if x is None else function(x) for x in self))
