"""Merge matched tokens: ToMe, vid-TLDR, TempMe, and runs over time."""
from typing import Literal

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import (
    alternate,
    bipartite_matching,
    match_runs,
    merge,
    saliency,
)
from mmaction_centerclip.utils.option_types import CountOrShare, PositiveInt

from .base import TokenNeck, TokenReducer, check_segments


class PairMerging(TokenNeck):
    """A neck that merges the best matches of pairs of tokens, by their size."""
    r: float

    def match(self, tokens: VideoTokens, metric: Tensor
              ) -> tuple[Tensor, Tensor] | None:
        """Match ``r`` patches of videos of one frame, as :func:`bipartite_matching`.

        By a metric (B, N, D). None where nothing is to merge.
        """
        count = metric.shape[1]
        num_merges = int(tokens.x.shape[1] * self.r if self.r < 1 else self.r)
        if not min(num_merges, count // 2):
            return None
        # Of all tokens every other one moves, beginning with the first.
        return bipartite_matching(metric, min(num_merges, count // 2), *alternate(
            count, first=tokens.num_prefix % 2 == 0, device=metric.device))

    def merge_pairs(self, tokens: VideoTokens, metric: Tensor,
                    saliency: Tensor | None = None) -> VideoTokens:
        """Merge what matches; what moves counts times its ``saliency`` (B, N)."""
        matched = self.match(tokens, metric)
        if matched is None:
            return tokens
        if saliency is None:
            return merge_matched(tokens, *matched)
        kept, assignment = matched
        places = torch.arange(metric.shape[1], device=kept.device)
        weight = torch.where(kept.gather(1, assignment) != places, saliency, 1)[:, None]
        size = weight if tokens.size is None else tokens.size * weight
        return merge_matched(tokens.replace(size=size), kept, assignment)


def merge_matched(tokens: VideoTokens, kept: Tensor, assignment: Tensor) -> VideoTokens:
    """Merge the patches of videos of one frame, see :func:`bipartite_matching`."""
    size = None if tokens.size is None else tokens.size[:, 0]
    patches, size = merge(tokens.patches[:, 0], assignment, kept.shape[1], size)
    return tokens.replace(
        patches=patches[:, None], size=size[:, None],
        positions=tokens.positions[:, 0].gather(1, kept)[:, None])


@MODELS.register_module()
class TokenMerging(PairMerging, TokenReducer):
    """Merge the ``r`` pairs of tokens in a frame that are most alike.

    ToMe (arXiv 2210.09461), which needs no training. Between attention and MLP of its
    block, every other token is matched with the most similar of the rest, by the cosine
    of the attention's keys averaged over the heads, and the ``r`` best matches become
    means. From this block on, attention counts a token as often as it stands for a
    patch. In every block it is the paper's method: on timm's ViT with one class token,
    its partition, order of tokens and outputs. The partition alternates over prefix and
    patch tokens together; the class token is the first source, and is never merged.

    Args:
        r (int | float): Tokens to lose in this block, or below 1 their share of those
            of a frame, prefix counted; at most half of the patches. 0 changes nothing.
        num_segments (int, optional): Join the frames of each of so many segments and
            merge in its space and time: it has F * N - r tokens then, and the mean of
            the class tokens. The paper's way for videos is 1, in a tower whose
            attention joins the frames. None: in each frame.
        metric (str): ``'tokens'`` for hosts that do not give their keys.
        proportional (bool): Whether attention counts tokens by their size, as in the
            paper, but for models trained with MAE.
    """
    in_front_of_block = False
    inside_block = True
    without_attention = "metric='tokens', proportional=False"

    def __init__(self, before_block: int, r: CountOrShare,
                 num_segments: PositiveInt | None = None,
                 metric: Literal['keys', 'tokens'] = 'keys', proportional: bool = True,
                 embed_dims: int | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(before_block, num_segments or 1, embed_dims=embed_dims,
                         init_cfg=init_cfg)
        self.num_segments = num_segments
        self.r = r
        self.metric = metric
        self.reads = ('keys', ) if metric == 'keys' and r > 0 else ()
        self.proportional_attention = proportional
        self.any_frames = num_segments is None

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        if self.num_segments is not None:
            return super().forward(tokens)
        frames = tokens.x.shape[0] // tokens.batch_size
        segments = tokens.with_positions().segments(frames)  # (B * T, 1, N, C)
        return self.reduce(segments).videos(frames)

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        joined = segments.joined_frames()
        return self.merge_pairs(joined, self._metric(joined))

    def _metric(self, joined: VideoTokens) -> Tensor:
        """Return what the tokens (B * S, F * N, D) are compared by."""
        for name in self.reads:
            if getattr(joined, name) is None:
                raise InputError(
                    f"{self}: metric={self.metric!r} needs the attention's {name}, "
                    'which only the first neck inside a block has')
        return (joined.keys if 'keys' in self.reads else joined.patches)[:, 0]

    def extra_repr(self) -> str:
        return f'before_block={self.before_block}, r={self.r}'


@MODELS.register_module()
class SaliencyTokenMerging(TokenMerging):
    """Merge as :class:`TokenMerging`, with little weight to what is not salient.

    vid-TLDR (arXiv 2403.13347), Sec. 3, which needs no training. A token that attends
    to few others is salient (:func:`saliency`); one that merges into another counts by
    its size times its saliency, in the mean, and in attention from then on. Between
    attention and MLP of its block, by the cosine of the tokens. Several blocks have
    lists: ``before_block=[1, 2, 3], r=[600, 200, 100]``.

    Args:
        r (int | float): See :class:`TokenMerging`.
        num_segments (int, optional): 1, the paper's way, in a tower whose attention
            joins the frames; None: in each frame.
        metric (str): ``'keys'`` compares by the attention's keys, as ToMe does.
    """
    without_attention = ''

    def __init__(self, before_block: int, r: CountOrShare,
                 num_segments: PositiveInt | None = None,
                 metric: Literal['keys', 'tokens'] = 'tokens',
                 proportional: bool = True, **kwargs) -> None:
        super().__init__(before_block, r, num_segments, metric, proportional, **kwargs)
        self.reads += ('entropy', ) * (r > 0)

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        joined = segments.joined_frames()
        if not self.reads:
            return joined
        return self.merge_pairs(joined, self._metric(joined),
                                saliency(joined.entropy[:, 0]))


@MODELS.register_module()
class RunTokenMerging(TokenReducer):
    """Leave each segment the means of runs of tokens, merged by pairs.

    Ours, see :func:`match_runs`: first a token merges with those at its place in the
    frames before, least changed first, then the most alike of what is left. From its
    block on, attention counts a token as often as it stands for a patch, as in ToMe.
    There is nothing to train, and no distance of all tokens to all is computed. Behind
    a neck that keeps no grid of places it takes tokens of one number for one place.

    Args:
        num_centers (int): Patch tokens K to leave of a segment.
        proportional (bool): Whether attention counts tokens by their size.

    Examples:
        >>> neck = dict(type='RunTokenMerging', before_block=7, num_segments=3,
        ...             num_centers=49)
    """
    takes_masks = False
    without_attention = 'proportional=False'

    def __init__(self, before_block: int, num_segments: int, num_centers: PositiveInt,
                 proportional: bool = True, **kwargs) -> None:
        super().__init__(before_block, num_segments, **kwargs)
        self.num_centers = num_centers
        self.proportional_attention = proportional

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        count = segments.patches.shape[1:3].numel()
        if self.num_centers > count:
            raise InputError(f'{self}: num_centers must not exceed the {count} tokens '
                             'of a segment')
        joined = segments.joined_frames()
        if self.num_centers == count:
            return joined
        return merge_matched(joined, *match_runs(
            segments.patches, self.num_centers, segments.size))

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_centers={self.num_centers}'


@MODELS.register_module()
class TemporalTokenMerging(PairMerging):
    """Join neighbouring frames, or clips, and merge tokens across them.

    TempMe (arXiv 2409.01156), Sec. 3. The patches of a joined clip are matched as
    :class:`TokenMerging` does, by the tokens themselves. The class tokens of all its
    frames stay, in front, and never merge; features are made of each of them, so that
    a video keeps as many as without the neck. In this block and those behind it,
    ``dict(type='TokenMerging', r=0.1)`` merges within a clip, and in those in front
    of the first join within a frame.

    Args:
        num_segments (int): Clips S to leave; must divide those in front.
        r (int | float): Tokens of a joined clip to lose, or below 1 their share, class
            tokens counted; at most half of the patches.
        num_clips (int, optional): Clips in front of the join, to learn an embedding of
            each one's place from zeros on, added to its tokens once they are matched.
        proportional (bool): Whether attention counts tokens by their size.
    """
    keeps_prefix = True
    without_attention = 'proportional=False'

    def __init__(self, before_block: int, num_segments: PositiveInt,
                 r: CountOrShare = 0.3, num_clips: PositiveInt | None = None,
                 proportional: bool = True, **kwargs) -> None:
        super().__init__(before_block, **kwargs)
        self.num_segments = num_segments
        self.r = r
        self.proportional_attention = proportional
        self.clip_embed = None
        if num_clips is not None:
            check_segments(self, num_segments, num_clips)
            self.clip_embed = nn.Parameter(torch.zeros(num_clips, self.embed_dims))

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Join (B, T, P + N, C) to (B, S, T / S * P + K, C)."""
        tokens = tokens.with_positions()
        clips = tokens.x.shape[0] // tokens.batch_size
        check_segments(self, self.num_segments, clips)
        metric = tokens.joined_clips(self.num_segments).patches.flatten(0, 1)
        if self.clip_embed is not None:
            if len(self.clip_embed) != clips:
                raise InputError(f'{self}: num_clips={len(self.clip_embed)}, got '
                                 f'{clips} clips')
            x = tokens.by_frame + self.clip_embed[:, None]
            tokens = tokens.replace(x=x.flatten(0, 1))
        joined = tokens.joined_clips(self.num_segments).segments(self.num_segments)
        return self.merge_pairs(joined, metric).videos(self.num_segments)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_segments={self.num_segments}, r={self.r}'
