"""Progressive merging of neighbouring clips (TempMe)."""
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import named_errors
from mmaction_centerclip.ops import check_share, clip_matching

from .token_selection import TokenSelection

__all__ = ['TemporalTokenMerging']


@MODELS.register_module()
class TemporalTokenMerging(TokenSelection):
    """Join neighbouring clips, and merge their tokens across and within.

    After TempMe (arXiv 2409.01156, Sec. 3): several such necks in the last blocks make
    12 frames 6, 3 and 1 clips, see docs/reducers.md. Of each segment's tokens, those of
    its other frames merge into the most similar ones of its first frame, and then
    tokens of the joined clip into each other, by bipartite soft matching
    (:func:`clip_matching`), until ``num_centers`` are left.

    It differs from the paper, which trains low-rank adapters with it: what is lost is a
    number of tokens, not two shares; tokens are compared by themselves; both merges
    stand in front of the block, where the paper's second one stands behind its
    attention; and there are no embeddings but those of :class:`TokenSelection`. The
    merges in frames of the paper's first blocks are :class:`TokenMerging`.

    Args:
        cross_share (float): Share of the merges to make across the frames of a segment.
        aggregation (str): ``'mean'`` to merge tokens, ``'medoid'`` to drop those that
            would.
    """
    takes_masks = False

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 cross_share: float = 0.8, aggregation: str = 'mean', **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers,
                         aggregation=aggregation, **kwargs)
        with named_errors(type(self).__name__):
            check_share(cross_share)
        self.cross_share = cross_share

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        return clip_matching(tokens, self.num_centers, frames, self.cross_share)
