"""Bottom-up clustering of tokens (ATC) as a neck."""
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import named_errors
from mmaction_centerclip.ops import agglomerative, check_agglomerative

from .token_selection import TokenSelection

__all__ = ['AgglomerativeClustering']


@MODELS.register_module()
class AgglomerativeClustering(TokenSelection):
    """Join each segment's nearest tokens until ``num_centers`` are left.

    ATC (arXiv 2409.11923, Sec. 3), which needs no training, see :func:`agglomerative`.
    The paper stands between attention and MLP and compares tokens by the attention's
    keys; this neck stands in front of its block and compares the tokens themselves. It
    runs on the CPU, wherever the model is.

    Args:
        linkage (str): ``'single'``, ``'complete'``, ``'average'`` or ``'ward'``.
        distance (str): ``'cosine'`` or ``'euclidean'``; ``'ward'`` needs the latter.
        aggregation (str): ``'mean'`` of each cluster, or ``'medoid'``: its most central
            token.
    """

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 linkage: str = 'average', distance: str = 'cosine',
                 aggregation: str = 'mean', **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers,
                         aggregation=aggregation, **kwargs)
        with named_errors(type(self).__name__):
            check_agglomerative(linkage, distance)
        self.options = dict(linkage=linkage, distance=distance)

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        return agglomerative(tokens, self.num_centers, valid=token_mask, **self.options)
