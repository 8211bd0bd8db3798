"""Keep some tokens of each segment: what every way to choose them shares."""
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import cluster_mean

from .base import TokenReducer

__all__ = ['CenterSelection']


class CenterSelection(TokenReducer):
    """Keep ``num_centers`` tokens of each segment's.

    The choice is made without gradient; gradients flow through the tokens
    that were kept.

    Args:
        before_block (int): Block in front of which to reduce, from 1.
        num_segments (int): Segments S; must divide the frames.
        num_centers (int): Tokens K to keep of each segment's.
        aggregation (str): ``'medoid'``: keep the centers themselves;
            ``'mean'``: the mean of each center's cluster.
            Defaults to ``'medoid'``.
        cluster_embed (str, optional): A learned embedding of the K kept
            tokens, in token order, that starts from ``'zeros'``,
            ``'random'``, or ``'clip'``: the first K patch positions of the
            tower's positional embedding. Defaults to None: none.
        frame_embed (str, optional): A learned embedding of the frame that a
            kept token comes from, starting from ``'zeros'`` or ``'random'``.
            Defaults to None: none.
        frames_per_segment (int, optional): Frames of a segment, required by
            ``frame_embed``. Defaults to None.
        embed_dims (int, optional): Width C, required by the embeddings; a
            tower gives its own. Defaults to None.
        exclude_padding (bool): See :class:`TokenReducer`. Defaults to False.
        record (bool): Whether to keep the last decision on the module, as
            ``medoids`` int64 (B * S, K) and ``assignment`` int64
            (B * S, F * N), None where there are no clusters.
            Defaults to False.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

    Raises:
        InputError: If an option is out of range, or in the forward pass if a
            segment has fewer tokens than ``num_centers``.
    """
    has_clusters = True

    def __init__(self,
                 before_block: int,
                 num_segments: int,
                 num_centers: int,
                 aggregation: str = 'medoid',
                 cluster_embed: str | None = None,
                 frame_embed: str | None = None,
                 frames_per_segment: int | None = None,
                 embed_dims: int | None = None,
                 exclude_padding: bool = False,
                 record: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(before_block, num_segments, exclude_padding, init_cfg)
        self.num_centers = self._positive('num_centers', num_centers)
        choices = ('medoid', 'mean') if self.has_clusters else ('medoid', )
        self.aggregation = self._one_of('aggregation', aggregation, choices)
        self.record = record
        self._init = self._one_of('cluster_embed', cluster_embed,
                                  (None, 'zeros', 'random', 'clip'))
        self._one_of('frame_embed', frame_embed, (None, 'zeros', 'random'))
        self.cluster_embed = self._embedding(cluster_embed, num_centers,
                                             embed_dims)
        if frame_embed is not None:
            self._positive('frames_per_segment', frames_per_segment)
        self.frame_embed = self._embedding(frame_embed, frames_per_segment,
                                           embed_dims)

    def _embedding(self, start: str | None, rows: int,
                   embed_dims: int | None) -> nn.Parameter | None:
        if start is None:
            return None
        weight = torch.zeros(rows, self._positive('embed_dims', embed_dims))
        if start == 'random':
            nn.init.normal_(weight, std=embed_dims**-0.5)
        return nn.Parameter(weight)

    def init_from_positions(self, positions: Tensor) -> None:
        """Start ``cluster_embed='clip'`` from a positional embedding.

        Args:
            positions (Tensor): Of the patches, shape (N, C).

        Raises:
            InputError: If there are fewer positions than centers.
        """
        if self._init != 'clip':
            return
        if len(positions) < self.num_centers:
            raise InputError(
                f"{self}: cluster_embed='clip' needs {self.num_centers} patch "
                f'positions, the tower has {len(positions)}')
        with torch.no_grad():
            self.cluster_embed.copy_(positions[:self.num_centers])

    def reduce(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Keep the chosen tokens of each segment, in token order."""
        medoids, assignment = self._decide(patches, valid)
        tokens = patches.flatten(1, 2)
        if self.aggregation == 'mean':
            kept = cluster_mean(
                tokens, assignment, self.num_centers,
                self._of_tokens(valid, patches.shape[2]))
        else:
            kept = _gather(tokens, medoids)
        return self._embed(kept, medoids, *patches.shape[1:3])

    def forward_through(self, tokens: VideoTokens,
                        finish: Callable[[Tensor], Tensor]) -> VideoTokens:
        """What ``forward(finish(tokens))`` returns, with a cheaper backward.

        Nothing behind the neck depends on a token that it drops. So the
        choice is made on ``finish(tokens)`` without gradient, and ``finish``
        runs again, with gradient, on the tokens that stay: what it stores
        for the backward pass, and computes there, shrinks with the tokens.

        Args:
            tokens (VideoTokens): In front of ``finish``.
            finish (Callable): Maps tokens (..., C), each on its own, as the
                MLP of a block does.

        Returns:
            VideoTokens: As of :meth:`forward`, up to rounding.
        """
        if self.aggregation != 'medoid':
            raise InputError(f"{self}: aggregation='mean' uses all tokens, so "
                             'none can be left out')
        mask, valid = self._masks(tokens)
        patches = self._by_segment(tokens.patches)
        with torch.no_grad(), _autocast_without_cache(patches.device.type):
            medoids, _ = self._decide(finish(patches), valid)
        kept = _gather(patches.flatten(1, 2), medoids)
        prefix = tokens.prefix
        finished = finish(torch.cat([prefix.flatten(0, 2), kept.flatten(0, 1)]))
        count = prefix.shape[:3].numel()
        kept = self._embed(finished[count:].view_as(kept), medoids,
                           *patches.shape[1:3])
        return self._join(finished[:count].view_as(prefix), kept, mask, valid)

    def _decide(self, patches: Tensor,
                valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Medoids and assignment of segments (B * S, F, N, C)."""
        frames, num_patches = patches.shape[1:3]
        tokens = patches.flatten(1, 2)
        if self.num_centers > tokens.shape[1]:
            raise InputError(f'{self}: num_centers must not exceed the '
                             f'{tokens.shape[1]} tokens of a segment')
        medoids, assignment = self.choose(
            tokens, self._of_tokens(valid, num_patches), frames)
        if self.record:
            self.medoids, self.assignment = medoids, assignment
        return medoids, assignment

    def _of_tokens(self, valid: Tensor | None, patches: int) -> Tensor | None:
        """The mask of frames (B * S, F) as one of their tokens."""
        return None if valid is None else valid.repeat_interleave(patches, 1)

    def _embed(self, kept: Tensor, medoids: Tensor, frames: int,
               num_patches: int) -> Tensor:
        """Add the learned embeddings to tokens (B * S, K, C)."""
        if self.cluster_embed is not None:
            kept = kept + self.cluster_embed
        if self.frame_embed is not None:
            if len(self.frame_embed) != frames:
                raise InputError(
                    f'{self}: frames_per_segment={len(self.frame_embed)}, got '
                    f'segments of {frames} frames')
            kept = kept + self.frame_embed[medoids // num_patches]
        return kept

    @abstractmethod
    def choose(self, tokens: Tensor, valid: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor | None]:
        """Choose the tokens to keep.

        Args:
            tokens (Tensor): Frame-major, shape (B * S, F * N, C).
            valid (Tensor | None): Bool (B * S, F * N).
            frames (int): F.

        Returns:
            tuple[Tensor, Tensor | None]: Ascending indices, int64
            (B * S, K), and the cluster of each token, int64 (B * S, F * N).
        """

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_centers={self.num_centers}'


def _autocast_without_cache(device: str) -> torch.autocast:
    """The autocast of the caller, for a part without gradient.

    Autocast keeps the weights that it casts, and those cast without gradient
    would be taken again where the gradient is wanted.
    """
    return torch.autocast(
        device,
        dtype=torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False)


def _gather(tokens: Tensor, indices: Tensor) -> Tensor:
    """Tokens (M, K, C) at indices (M, K) of tokens (M, N, C)."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))
