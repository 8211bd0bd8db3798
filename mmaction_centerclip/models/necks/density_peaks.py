"""Density peaks of tokens (DPC-KNN) as a neck."""
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import named_errors
from mmaction_centerclip.ops import check_density_peaks, density_peaks

from .token_selection import TokenSelection

__all__ = ['DensityPeakClustering']


@MODELS.register_module()
class DensityPeakClustering(TokenSelection):
    """Keep the density peaks of each segment's tokens, or merge around them.

    DPC-KNN, as in TCFormer (arXiv 2204.08680, Sec. 3.2) and Chat-UniVi, see
    :func:`density_peaks`; needs no training. Both papers merge, TCFormer with weights
    that it learns, which are not here.

    Args:
        neighbors (int): Nearest neighbours that a density is of.
        scale (float, optional): What distances are divided by. None: sqrt(C).
        aggregation (str): ``'mean'`` of each cluster, or ``'medoid'``: the peaks
            themselves.
    """

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 neighbors: int = 5, scale: float | None = None,
                 aggregation: str = 'mean', **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers,
                         aggregation=aggregation, **kwargs)
        with named_errors(type(self).__name__):
            check_density_peaks(neighbors, scale)
        self.options = dict(neighbors=neighbors, scale=scale)

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        return density_peaks(tokens, self.num_centers, valid=token_mask, **self.options)
