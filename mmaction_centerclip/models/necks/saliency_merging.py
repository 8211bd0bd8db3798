"""Merge tokens by how salient they are (vid-TLDR)."""
from typing import Literal

from mmaction.registry import MODELS

from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import saliency
from mmaction_centerclip.utils.option_types import CountOrShare, PositiveInt

from .token_merging import TokenMerging


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
