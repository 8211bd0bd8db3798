"""Base class of reducers that keep some tokens of each segment."""
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, check_choice, check_positive_int
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import (
    cluster_mean,
    cluster_sum,
    mask_or_all,
    weighted_mean,
)
from mmaction_centerclip.utils.option_types import PositiveInt

from .base import TokenReducer


class TokenSelection(TokenReducer):
    """Select ``num_centers`` tokens per segment; the choice has no gradient.

    Args:
        aggregation (str): ``'medoid'``: keep the centers themselves; ``'mean'``: the
            mean of each center's cluster, a token as often as its size says, at the
            center's position.
        proportional (bool): Whether from this block on attention counts a kept token as
            often as its cluster has tokens. CenterCLIP counts it once.
        cluster_embed (str, optional): Start of a learned embedding of the kept tokens,
            in token order; ``'clip'``: the tower's first patch positions.
        frame_embed (str, optional): Start of a learned embedding of the frame that a
            kept token comes from.
        frames_per_segment (int, optional): Required by ``frame_embed``; with
            ``adaptive_segments`` the most that one may have.
    """
    has_clusters = True
    reads_prefix = False
    """True where :meth:`select` takes the prefix tokens (B * S, F, P, C) too."""

    def __init__(self, before_block: int, num_segments: int, num_centers: PositiveInt,
                 aggregation: Literal['medoid', 'mean'] = 'medoid',
                 cluster_embed: Literal['zeros', 'random', 'clip'] | None = None,
                 frame_embed: Literal['zeros', 'random'] | None = None,
                 frames_per_segment: int | None = None, proportional: bool = False,
                 **kwargs) -> None:
        super().__init__(before_block, num_segments, **kwargs)
        name = type(self).__name__
        self.num_centers = num_centers
        if not self.has_clusters:
            check_choice(f'{name}: aggregation', aggregation, ('medoid', ))
            check_choice(f'{name}: proportional', proportional, (False, ))
        self._count_clusters('proportional', proportional)
        self.aggregation = aggregation
        self._cluster_embed_start = cluster_embed
        if frame_embed is not None:
            check_positive_int(f'{name}: frames_per_segment', frames_per_segment)
        self.cluster_embed = self._embedding(cluster_embed, num_centers)
        self.frame_embed = self._embedding(frame_embed, frames_per_segment)

    def _count_clusters(self, option: str, value: bool) -> None:
        """Count tokens by their size in attention, where ``option`` has this value."""
        if value and self.adaptive_segments:
            raise InputError(f'{type(self).__name__}: {option}=True does not go with '
                             'adaptive_segments')
        self.proportional_attention = value
        self.without_attention = f'{option}=False' * value

    def _embedding(self, start: str | None, rows: int | None) -> nn.Parameter | None:
        if start is None:
            return None
        width = check_positive_int(f'{type(self).__name__}: embed_dims',
                                   self.embed_dims)
        weight = torch.zeros(rows, width)
        if start == 'random':
            nn.init.normal_(weight, std=width**-0.5)
        return nn.Parameter(weight)

    def init_from_positions(self, positions: Tensor) -> None:
        """Start ``cluster_embed='clip'`` from a positional embedding."""
        if self._cluster_embed_start != 'clip':
            return
        if len(positions) < self.num_centers:
            raise InputError(
                f"{self}: cluster_embed='clip' needs {self.num_centers} patch "
                f'positions, the tower has {len(positions)}')
        with torch.no_grad():
            self.cluster_embed.copy_(positions[:self.num_centers])

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        """Keep the selected tokens of each segment, in token order."""
        indices, assignment = self._select(segments)
        patches, known = self._keep(segments, indices, assignment)
        if self.aggregation == 'mean':
            patches = self.cluster_means(segments.patches.flatten(1, 2), patches,
                                         assignment, self._weights(segments))
        return segments.replace(
            prefix=self.mean_prefix(segments),
            patches=self._embed(patches[:, None], segments, indices), **known)

    def after(self, function: Callable[[Tensor], Tensor],
              tokens: VideoTokens) -> VideoTokens:
        """Return ``self(tokens.map(function))``, with a cheaper backward pass.

        Nothing behind the neck depends on a token that it drops: the choice is made
        without gradient, and the function runs again, with gradient, on the tokens that
        stay.
        """
        if (self.aggregation != 'medoid' or self.adaptive_segments
                or not torch.is_grad_enabled()):
            return super().after(function, tokens)
        segments, mask = self.to_segments(tokens.with_positions())
        with torch.no_grad(), _autocast_without_cache(tokens.x.device.type):
            indices, assignment = self._select(segments.map(function))
        patches, known = self._keep(segments, indices, assignment)
        parts = segments.prefix, patches  # (B * S, F, P, C), (B * S, K, C)
        mapped = function(torch.cat([x.flatten(0, -2) for x in parts])[None])[0]
        prefix, patches = (x.unflatten(0, part.shape[:-1]) for x, part in zip(
            mapped.split([math.prod(x.shape[:-1]) for x in parts]), parts))
        reduced = segments.replace(
            prefix=weighted_mean(prefix, segments.frame_mask),
            patches=self._embed(patches[:, None], segments, indices), **known)
        return self.to_videos(reduced, segments, mask)

    def fewest_frames(self, patches: int) -> int:
        """Return how many frames have ``num_centers`` tokens."""
        return int(-(-self.num_centers // patches))

    def _select(self, segments: VideoTokens) -> tuple[Tensor, Tensor | None]:
        """Select tokens (B * S, K) of segments (B * S, F, N, C)."""
        tokens = segments.patches.flatten(1, 2)
        if self.num_centers > tokens.shape[1]:
            raise InputError(f'{self}: num_centers must not exceed the '
                             f'{tokens.shape[1]} tokens of a segment')
        prefix = [segments.prefix] * self.reads_prefix
        return self.select(tokens, self._token_mask(segments),
                           segments.patches.shape[1], *prefix)

    def _token_mask(self, segments: VideoTokens) -> Tensor | None:
        """Spread the mask of frames (B * S, F) over their tokens."""
        if segments.frame_mask is None:
            return None
        return segments.frame_mask.repeat_interleave(segments.patches.shape[2], 1)

    def cluster_means(self, tokens: Tensor, kept: Tensor, assignment: Tensor,
                      weights: Tensor | None) -> Tensor:
        """Return the means (B * S, K, C) of the clusters of those kept."""
        return cluster_mean(tokens, assignment, kept.shape[1], weights)

    def _weights(self, segments: VideoTokens) -> Tensor | None:
        """Return how often each token (B * S, F * N) counts, None of ones."""
        size, mask = segments.size, self._token_mask(segments)
        size = None if size is None else size.flatten(1)
        if mask is None:
            return size
        mask = mask_or_all(mask)
        return mask.long() if size is None else size * mask

    def _keep(self, segments: VideoTokens, indices: Tensor, assignment: Tensor | None
              ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Gather tokens (B * S, K, C), and what is known of them.

        Indices of -1 pad segments that keep fewer tokens than others, by size 0.
        """
        kept, indices = indices >= 0, indices.clamp(min=0)
        known = {name: None if value is None else
                 value.flatten(1).gather(1, indices)[:, None]
                 for name, value in (('positions', segments.positions),
                                     ('size', segments.size))}
        if assignment is None:
            if self.pads:  # The only neck: all are of size 1.
                known['size'] = kept[:, None].long()
        elif self.aggregation == 'mean' or self.proportional_attention:
            weights = self._weights(segments)
            if (not self.pads and weights is None
                    and indices.shape == assignment.shape):
                return segments.patches.flatten(1, 2), known  # Each is its cluster.
            known['size'] = cluster_sum(
                torch.ones_like(assignment) if weights is None else weights, assignment,
                indices.shape[1])[:, None]
        return _gather(segments.patches.flatten(1, 2), indices), known

    def _embed(self, patches: Tensor, segments: VideoTokens, indices: Tensor) -> Tensor:
        """Add the learned embeddings to kept tokens (B * S, 1, K, C)."""
        if self.cluster_embed is not None:
            patches = patches + self.cluster_embed
        if self.frame_embed is not None:
            frames, num_patches = segments.patches.shape[1:3]
            if len(self.frame_embed) != frames:
                raise InputError(
                    f'{self}: frames_per_segment={len(self.frame_embed)}, got '
                    f'segments of {frames} frames')
            patches = patches + self.frame_embed[indices // num_patches][:, None]
        return patches

    @abstractmethod
    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int, *prefix: Tensor) -> tuple[Tensor, Tensor | None]:
        """Select the tokens to keep, of frame-major (B * S, F * N, C).

        ``token_mask`` (B * S, F * N) is True for those that count, and ``prefix`` (B *
        S, F, P, C) is given with :attr:`reads_prefix`. Returns ascending indices, int64
        (B * S, K), and each token's cluster, int64 (B * S, F * N), or None.
        """

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_centers={self.num_centers}'


def _autocast_without_cache(device: str) -> torch.autocast:
    """Repeat the caller's autocast for a part without gradient.

    Its cache would hand weights cast without gradient to the part that needs one.
    """
    return torch.autocast(device, dtype=torch.get_autocast_dtype(device),
                          enabled=torch.is_autocast_enabled(device),
                          cache_enabled=False)


def _gather(tokens: Tensor, indices: Tensor) -> Tensor:
    """Tokens (M, K, C) at indices (M, K) of tokens (M, N, C)."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))
