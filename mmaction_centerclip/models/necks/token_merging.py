"""Necks that merge tokens by bipartite matching: ToMe, TempMe."""
from functools import partial
from typing import Literal

from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import alternate, bipartite_matching, clip_matching, merge
from mmaction_centerclip.utils.option_types import NotNegativeInt, PositiveInt

from .base import ONE_TOKEN, TokenReducer
from .token_selection import TokenSelection


@MODELS.register_module()
class TokenMerging(TokenReducer):
    """Merge the ``r`` pairs of tokens in a frame that are most alike.

    ToMe (arXiv 2210.09461), which needs no training. Between attention and MLP of its
    block, every other token is matched with the most similar of the rest, by the cosine
    of the attention's keys averaged over the heads, and the ``r`` best matches become
    means. From this block on, attention counts a token as often as it stands for a
    patch. In every block it is the paper's method: on timm's ViT with one class token,
    its partition, order of tokens and outputs. The partition alternates over prefix and
    patch tokens together; the class token is the first source, and is never merged.

    Args:
        r (int): Tokens to lose in this block, at most half; 0 changes nothing.
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

    def __init__(self, before_block: int, r: NotNegativeInt,
                 num_segments: PositiveInt | None = None,
                 metric: Literal['keys', 'tokens'] = 'keys', proportional: bool = True,
                 embed_dims: int | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(before_block, num_segments or 1, embed_dims=embed_dims,
                         init_cfg=init_cfg)
        self.num_segments = num_segments
        self.r = r
        self.metric = metric
        self.needs_keys = metric == 'keys' and r > 0
        self.proportional_attention = proportional

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        if self.num_segments is not None:
            return super().forward(tokens)
        frames = len(tokens.x) // tokens.batch_size
        segments = tokens.with_positions().segments(frames)  # (B * T, 1, N, C)
        return self.reduce(segments).videos(frames)

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        joined = segments.joined_frames()
        tokens, size = joined.patches[:, 0], joined.size
        num_merges = min(self.r, tokens.shape[1] // 2)
        if num_merges == 0:
            return joined
        kept, assignment = bipartite_matching(
            self._metric(joined), num_merges,
            *alternate(tokens.shape[1], first=segments.num_prefix % 2 == 0,
                       device=tokens.device))
        tokens, size = merge(tokens, assignment, kept.shape[1],
                             None if size is None else size[:, 0])
        return joined.replace(
            patches=tokens[:, None], size=size[:, None],
            positions=joined.positions[:, 0].gather(1, kept)[:, None])

    def _metric(self, joined: VideoTokens) -> Tensor:
        """Return what the tokens (B * S, F * N, D) are compared by."""
        if self.metric == 'tokens':
            return joined.patches[:, 0]
        if joined.keys is None:
            raise InputError(
                f"{self}: metric='keys' needs the attention's keys, which only the "
                'first neck inside a block has')
        return joined.keys[:, 0]

    def extra_repr(self) -> str:
        return f'before_block={self.before_block}, r={self.r}'


@MODELS.register_module()
class TemporalTokenMerging(TokenSelection):
    """Join neighbouring clips, and merge their tokens across and within.

    After TempMe (arXiv 2409.01156, Sec. 3): several such necks in the last blocks make
    12 frames 6, 3 and 1 clips. See :func:`clip_matching`; ``num_centers`` are left.
    ``aggregation='medoid'`` drops the others. docs/reducers.md says where it differs
    from the paper.
    """
    takes_masks = False

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 cross_share: float = 0.8, aggregation: str = 'mean', **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers,
                         aggregation=aggregation, **kwargs)
        self.set_options(
            partial(clip_matching, ONE_TOKEN, 1, 1), cross_share=cross_share)

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        return clip_matching(tokens, self.num_centers, frames, **self.options)
