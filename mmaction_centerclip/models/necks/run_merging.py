"""Merge tokens over time where they change least, then those that are alike."""
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import match_runs
from mmaction_centerclip.utils.option_types import PositiveInt

from .base import TokenReducer
from .token_merging import merge_matched


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
