"""Necks that CenterCLIP compares token clustering with."""
import torch
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import named_errors
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import check_fold_div, sparse_sampling, temporal_shift
from mmaction_centerclip.ops.masks import mask_or_all, weighted_mean

from .base import TokenNeck, TokenReducer
from .token_selection import TokenSelection

__all__ = ['SegmentMeanPooling', 'SparseTokenSampling', 'TemporalShift', 'TokenShift']


@MODELS.register_module()
class SegmentMeanPooling(TokenReducer):
    """Average each position over the frames of its segment."""
    keeps_places = True

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

    Random tokens are the same for the whole batch and different per segment; they are
    drawn from torch's global generator on the CPU.
    """
    has_clusters = False
    takes_masks = False

    @torch.compiler.disable
    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, None]:
        indices = sparse_sampling(tokens.shape[1], self.num_centers, self.num_segments,
                                  training=self.training, device=tokens.device)
        return indices.repeat(len(tokens) // self.num_segments, 1), None


class _Shift(TokenNeck):
    """Exchange channels between neighbouring frames.

    Args:
        fold_div (int): A ``fold_div``-th of the channels goes either way.
    """
    keeps_places = True

    def __init__(self, before_block: int, fold_div: int = 8, **kwargs) -> None:
        super().__init__(before_block, **kwargs)
        with named_errors(type(self).__name__):
            self.fold_div = check_fold_div(fold_div)


@MODELS.register_module()
class TemporalShift(_Shift):
    """Shift channels of the patch tokens (TSM, arXiv 1811.08383).

    The class token stays. Arguments are ``before_block`` and ``fold_div``.
    """

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        return tokens.replace(patches=temporal_shift(tokens.patches, self.fold_div))


@MODELS.register_module()
class TokenShift(_Shift):
    """Shift channels of the class token (Token Shift, arXiv 2108.02432).

    Works twice in its block, before the attention and before the MLP. Arguments are
    ``before_block`` and ``fold_div``.
    """
    inside_block = True

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        return tokens.replace(prefix=temporal_shift(tokens.prefix, self.fold_div))
