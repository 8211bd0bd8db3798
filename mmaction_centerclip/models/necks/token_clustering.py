"""Necks that cluster the tokens of a segment: CenterCLIP, DPC-KNN, ATC."""
import math
from functools import partial

from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import (
    agglomerative,
    check_kmedoids,
    density_peaks,
    kmedoids,
    spatial_temporal_locality,
    spectral_clustering,
)

from .base import ONE_TOKEN
from .token_selection import TokenSelection


@MODELS.register_module()
class TokenClustering(TokenSelection):
    """Keep the k-medoids++ centers of each segment's tokens.

    CenterCLIP (arXiv 2205.00823), Sec. 3.2 and 3.3; options as of :func:`kmedoids`.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models import TokenClustering, VideoTokens
        >>> neck = TokenClustering(before_block=7, num_segments=3, num_centers=49)
        >>> tokens = VideoTokens(torch.rand(24, 50, 8), batch_size=2, num_prefix=1)
        >>> neck(tokens).patches.shape
        torch.Size([2, 3, 49, 8])
    """

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 distance: str = 'euclidean', p: float = 2.0, pre_norm: bool = False,
                 max_iters: int = 100, tol: float = 1e-6, backend: str = 'auto',
                 **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers, **kwargs)
        self.set_options(
            partial(check_kmedoids, masked=self.exclude_padding), distance=distance,
            p=p, pre_norm=pre_norm, max_iters=max_iters, tol=tol, backend=backend)
        if distance == 'euclidean' and p != 2:
            self.without_onnx = f'has p={p}, and only p=2 is written to ONNX'

    @property
    def any_frames(self) -> bool:
        return (self.frame_embed is None and not self.adaptive_segments
                and self.options['max_iters'] > 0)

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        return kmedoids(tokens, self.num_centers, valid=token_mask, **self.options)


@MODELS.register_module()
class SpectralTokenClustering(TokenSelection):
    """Keep the centers of each segment's spectral clusters.

    CenterCLIP (arXiv 2205.00823), Sec. 3.3; the options are those of
    :func:`spectral_clustering` and :func:`spatial_temporal_locality`, but ``knn`` None
    takes 5 a frame, and 5 more where a frame has 100 tokens or more; ``spatial_kernel``
    is for a square token grid, so only for the first reducer of a tower.
    """
    takes_masks = False
    without_onnx = 'needs eigenvectors, for which ONNX has no operator'

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 graph: str = 'knn', sigma: float | str = 2.0, knn: int | None = None,
                 spatial_kernel: int | None = None, temporal_kernel: int = 7,
                 p: float = 2.0, max_iters: int = 100, tol: float = 1e-6,
                 **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers, **kwargs)
        self.knn = knn
        self.spatial_kernel = spatial_kernel
        self.temporal_kernel = temporal_kernel
        self.set_options(partial(spatial_temporal_locality, 1, 1, 1),
                         spatial_kernel=spatial_kernel or 1,
                         temporal_kernel=temporal_kernel)
        self.set_options(
            partial(spectral_clustering, ONE_TOKEN, 1, knn=1 if knn is None else knn),
            graph=graph, sigma=sigma, p=p, max_iters=max_iters, tol=tol)

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        patches = tokens.shape[1] // frames
        return spectral_clustering(
            tokens, self.num_centers, knn=self.knn or 5 * frames + 5 * (patches >= 100),
            locality=self._locality(frames, patches), **self.options)

    def _locality(self, frames: int, patches: int) -> Tensor | None:
        if self.spatial_kernel is None:
            return None
        side = math.isqrt(patches)
        if side**2 != patches:
            raise InputError(f'{self}: spatial_kernel needs a square grid of '
                             f'tokens, got {patches} tokens a frame')
        return spatial_temporal_locality(frames, side, side,
                                         spatial_kernel=self.spatial_kernel,
                                         temporal_kernel=self.temporal_kernel)


@MODELS.register_module()
class DensityPeakClustering(TokenSelection):
    """Keep the density peaks of each segment's tokens, or merge around them.

    DPC-KNN, see :func:`density_peaks`, without TCFormer's learned weights.
    """

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 neighbors: int = 5, scale: float | None = None,
                 aggregation: str = 'mean', **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers,
                         aggregation=aggregation, **kwargs)
        self.set_options(partial(density_peaks, ONE_TOKEN, 1), neighbors=neighbors,
                         scale=scale)

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        return density_peaks(tokens, self.num_centers, valid=token_mask, **self.options)


@MODELS.register_module()
class AgglomerativeClustering(TokenSelection):
    """Join each segment's nearest tokens until ``num_centers`` are left.

    ATC, see :func:`agglomerative`; on the CPU. The paper compares keys inside a block.
    """
    without_onnx = 'joins clusters by scipy, which ONNX cannot call'

    def __init__(self, before_block: int, num_segments: int, num_centers: int,
                 linkage: str = 'average', distance: str = 'cosine',
                 aggregation: str = 'mean', **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers,
                         aggregation=aggregation, **kwargs)
        self.set_options(partial(agglomerative, ONE_TOKEN, 1), linkage=linkage,
                         distance=distance)

    def select(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        return agglomerative(tokens, self.num_centers, valid=token_mask, **self.options)
