"""Join clips to longer ones, and merge their tokens (TempMe)."""
import torch
from mmaction.registry import MODELS
from torch import nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.utils.option_types import CountOrShare, PositiveInt

from .base import check_segments
from .token_merging import PairMerging


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
                 proportional: bool = True, embed_dims: int | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(before_block, embed_dims, init_cfg)
        self.num_segments = num_segments
        self.r = r
        self.proportional_attention = proportional
        self.clip_embed = None
        if num_clips is not None:
            check_segments(self, num_segments, num_clips)
            self.clip_embed = nn.Parameter(torch.zeros(num_clips, embed_dims))

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
