"""Drop the patches that do not change from frame to frame (RLT)."""
from mmaction.registry import MODELS

from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import check_threshold, mask_or_all, pack, run_lengths

from .base import TokenReducer


@MODELS.register_module()
class RunLengthTokens(TokenReducer):
    """Keep, of each segment's patches, those that are new in their frame.

    After Run-Length Tokenization (RLT, arXiv 2411.05222), ahead of block 1: behind
    attention hardly any token stays as it was. A patch that stays as it was in the
    frame before is dropped, and the one that it repeats counts, in all attention from
    here on, for as many frames as it stays: of patches that are exactly equal nothing
    is lost by this, but for rounding. How many tokens that leaves depends on the video:
    the others of the batch are padded to the longest with tokens of size 0, which
    attention leaves out.

    It differs from the paper: patches are compared as they are embedded, not as pixels
    (at block 1 both frames have the same position added, and what differs is the
    patch); run lengths are weights in the attention and not a learned embedding, so
    that it works without training; videos are padded and not packed. The tower must
    pool a class token, and have no other neck. It does not compile to one graph.

    Args:
        threshold (float): How much a token may differ, see :func:`run_lengths`.
    """
    proportional_attention = True
    pads = True

    def __init__(self, num_segments: int, threshold: float = 0.1,
                 before_block: int = 1, **kwargs) -> None:
        super().__init__(before_block, num_segments, **kwargs)
        self.set_options(check_threshold, threshold=threshold)

    def reduce(self, segments: VideoTokens) -> VideoTokens:
        mask = segments.frame_mask
        size = run_lengths(
            segments.patches, frame_mask=None if mask is None else mask_or_all(mask),
            **self.options)
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
