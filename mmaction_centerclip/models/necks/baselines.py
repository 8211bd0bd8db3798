"""Baselines of CenterCLIP, and controls that drop tokens by simple rules.

What a reducer is worth is what it gains over these, at as many tokens.
"""
from abc import abstractmethod
from functools import partial

import torch
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import (
    fuse_rest,
    fused,
    largest,
    largest_share,
    mask_or_all,
    norms,
    novelty,
    rarity,
    seeded_scores,
    similarity_to,
    sparse_sampling,
    temporal_shift,
    weighted_mean,
)
from mmaction_centerclip.utils.option_types import NotNegativeInt, PositiveCountOrShare

from .base import ONE_TOKEN, TokenNeck, TokenReducer
from .token_selection import TokenSelection


@MODELS.register_module()
class SegmentMeanPooling(TokenReducer):
    """Average each position over the frames of its segment."""
    keeps_places = True
    any_frames = True

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        size = segments.size
        if size is None:
            size = torch.ones_like(segments.positions)
        if segments.frame_mask is not None:
            size = size * mask_or_all(segments.frame_mask)[..., None]
        return segments.replace(
            prefix=self.mean_prefix(segments),
            patches=weighted_mean(segments.patches, segments.frame_mask),
            positions=segments.positions[:, :1], size=size.sum(dim=1, keepdim=True))


@MODELS.register_module()
class SparseTokenSampling(TokenSelection):
    """Keep tokens at equal steps; in training, at random.

    Those of the whole batch, by torch's global CPU generator, different per segment.
    """
    has_clusters = False
    takes_masks = False

    @torch.compiler.disable
    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, None]:
        indices = sparse_sampling(tokens.shape[1], self.num_centers, self.num_segments,
                                  training=self.training, device=tokens.device)
        return indices.repeat(tokens.shape[0] // self.num_segments, 1), None


class _Shift(TokenNeck):
    """Move a ``fold_div``-th of the channels either way between frames."""
    keeps_places = True
    any_frames = True

    def __init__(self, before_block: int, fold_div: int = 8, **kwargs) -> None:
        super().__init__(before_block, **kwargs)
        self.set_options(partial(temporal_shift, ONE_TOKEN[None]), fold_div=fold_div)


@MODELS.register_module()
class TemporalShift(_Shift):
    """Shift channels of the patch tokens (TSM, arXiv 1811.08383)."""

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        return tokens.replace(patches=temporal_shift(tokens.patches, **self.options))


@MODELS.register_module()
class TokenShift(_Shift):
    """Shift channels of the class token (Token Shift, arXiv 2108.02432).

    Works twice in its block, before the attention and before the MLP.
    """
    inside_block = True

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        return tokens.replace(prefix=temporal_shift(tokens.prefix, **self.options))


class _TokenDrop(TokenSelection):
    """Keep the tokens of the largest scores; no choice of clusters.

    ``num_centers`` tokens of each segment, or of all of a video's the share that it is,
    which segments then divide by the scores, at least one each. With ``fuse`` the last
    of them becomes the mean of itself and all that is dropped, and attention counts it
    as often, after EViT (arXiv 2202.07800), Sec. 3.2, which weighs that mean.
    """
    has_clusters = False

    def __init__(self, before_block: int, num_segments: int,
                 num_centers: PositiveCountOrShare, fuse: bool = False,
                 **kwargs) -> None:
        is_share = num_centers < 1
        super().__init__(before_block, num_segments, 1 if is_share else num_centers,
                         **kwargs)
        self.num_centers = num_centers
        self.fuse = fuse
        self.aggregation = 'mean' if fuse else 'medoid'
        self._count_clusters('fuse', fuse)
        self.pads = is_share
        self.proportional_attention |= is_share
        if is_share and self.cluster_embed is not None:
            raise InputError(f'{self}: cluster_embed needs a number of num_centers')

    def select(self, tokens: Tensor, token_mask: Tensor | None, frames: int,
               *prefix: Tensor) -> tuple[Tensor, Tensor | None]:
        scores = self.scores(tokens, token_mask, frames, *prefix)
        if self.pads:
            kept = largest_share(scores, self.num_centers, self.num_segments,
                                 token_mask)
        else:
            kept = largest(scores, self.num_centers, token_mask)
        return kept, fuse_rest(scores, kept) if self.fuse else None

    def cluster_means(self, tokens: Tensor, kept: Tensor, assignment: Tensor,
                      weights: Tensor | None) -> Tensor:
        return fused(tokens, kept, assignment, weights)

    @abstractmethod
    def scores(self, tokens: Tensor, token_mask: Tensor | None, frames: int,
               *prefix: Tensor) -> Tensor:
        """Return scores (B * S, F * N) of what :meth:`select` gets."""


@MODELS.register_module()
class RandomTokenDrop(_TokenDrop):
    """Keep random tokens, in evaluation always the same ones, by ``seed``.

    They are the same for the whole batch and different per segment.
    """
    takes_masks = False

    def __init__(self, before_block: int, num_segments: int, num_centers: float,
                 seed: NotNegativeInt = 0, **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers, **kwargs)
        self.seed = seed

    @torch.compiler.disable
    def scores(self, tokens: Tensor, token_mask: Tensor | None, frames: int) -> Tensor:
        if self.training:
            scores = torch.rand(self.num_segments, tokens.shape[1])
        else:
            scores = seeded_scores(tokens, self.num_segments, self.seed)
        return scores.repeat(tokens.shape[0] // self.num_segments, 1).to(tokens.device)


@MODELS.register_module()
class NormTokenDrop(_TokenDrop):
    """Keep each segment's tokens of the largest norm."""

    def scores(self, tokens: Tensor, token_mask: Tensor | None, frames: int) -> Tensor:
        return norms(tokens)


@MODELS.register_module()
class ClassSimilarityTokenDrop(_TokenDrop):
    """Keep each segment's tokens that are most like their frame's class token.

    By the cosine. It stands in for the class token's attention, which no neck sees.
    """
    reads_prefix = True

    def scores(self, tokens: Tensor, token_mask: Tensor | None, frames: int,
               prefix: Tensor) -> Tensor:
        if not prefix.shape[2]:
            raise InputError(f'{self} needs a class token, which this tower has not')
        tokens = tokens.unflatten(1, (frames, -1))
        return similarity_to(tokens, prefix[:, :, :1].expand_as(tokens)).flatten(1)


@MODELS.register_module()
class DuplicateTokenDrop(_TokenDrop):
    """Keep each segment's tokens least similar, by cosine, to the previous frame's."""

    def scores(self, tokens: Tensor, token_mask: Tensor | None, frames: int) -> Tensor:
        return novelty(tokens, frames, token_mask)


@MODELS.register_module()
class RareTokenDrop(_TokenDrop):
    """Keep each segment's tokens that are farthest from the mean of all.

    Ours, linear in the tokens; docs/benchmark.md has it with ``fuse=True``.
    """

    def scores(self, tokens: Tensor, token_mask: Tensor | None, frames: int) -> Tensor:
        return rarity(tokens, token_mask)
