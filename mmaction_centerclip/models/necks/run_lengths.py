"""Drop the patches that do not change from frame to frame (RLT)."""
from functools import partial

from mmaction.registry import MODELS

from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import mask_or_all, pack, run_lengths

from .base import ONE_TOKEN, TokenReducer


@MODELS.register_module()
class RunLengthTokens(TokenReducer):
    """Keep, of each segment's patches, those that are new in their frame.

    After Run-Length Tokenization (RLT, arXiv 2411.05222), ahead of block 1: behind
    attention hardly any token stays as it was. The patch that an unchanged one repeats
    (:func:`run_lengths`) counts in attention for as many frames as it stays: of exactly
    equal ones nothing is lost, but for rounding, where the tower pools a class token.
    Not ``packed``, all segments are computed at the length of the longest, as in graphs
    of ``torch.compile``, of which it needs several. It must be the only neck.
    docs/reducers.md says where it differs from the paper.
    """
    proportional_attention = True
    pads = True

    def __init__(self, num_segments: int, threshold: float = 0.1,
                 before_block: int = 1, packed: bool = True, **kwargs) -> None:
        super().__init__(before_block, num_segments, **kwargs)
        self.packed = packed
        self.set_options(partial(run_lengths, ONE_TOKEN[None]), threshold=threshold)

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        mask = segments.frame_mask
        size = run_lengths(
            segments.patches if segments.keys is None else segments.keys,
            frame_mask=None if mask is None else mask_or_all(mask), **self.options)
        joined = segments.joined_frames()
        if size.all():
            return joined
        size = size.flatten(1)
        kept = pack(size)
        index = kept[..., None].expand(-1, -1, joined.patches.shape[-1])
        return joined.replace(
            patches=joined.patches[:, 0].gather(1, index)[:, None],
            positions=joined.positions[:, 0].gather(1, kept)[:, None],
            size=size.gather(1, kept)[:, None])
