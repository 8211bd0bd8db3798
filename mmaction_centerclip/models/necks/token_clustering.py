"""CenterCLIP's token clustering as a neck between two blocks."""
import math

import torch
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import (
    kmedoids,
    spatial_temporal_locality,
    spectral_clustering,
)
from mmaction_centerclip.ops.compiled import kmedoids_operator, spectral_operator
from mmaction_centerclip.ops.distances import DISTANCES
from mmaction_centerclip.ops.kmedoids import BACKENDS
from mmaction_centerclip.ops.spectral import GRAPHS, SOLVERS

from .center_selection import CenterSelection

__all__ = ['SpectralTokenClustering', 'TokenClustering']


@MODELS.register_module()
class TokenClustering(CenterSelection):
    """Keep the k-medoids++ centers of each segment's tokens.

    CenterCLIP (arXiv 2205.00823), Sec. 3.2 and 3.3. Distances are computed in
    float32 whatever the autocast dtype.

    Args:
        before_block (int): Block in front of which to cluster, from 1.
        num_segments (int): Segments S; must divide the frames.
        num_centers (int): Tokens K to keep of each segment's.
        distance (str): ``'euclidean'`` or ``'cosine'``.
            Defaults to ``'euclidean'``.
        p (float): Order of the Minkowski distance. Defaults to 2.0.
        pre_norm (bool): Whether to cluster tokens of unit length.
            Defaults to False.
        max_iters (int): Limit of update steps. Defaults to 100.
        tol (float): Stop when a segment's medoids move less than this in
            all. Defaults to 1e-6.
        backend (str): ``'auto'``, ``'torch'`` or ``'triton'``, see
            :func:`kmedoids`. Defaults to ``'auto'``.
        **kwargs: ``aggregation``, ``cluster_embed``, ``frame_embed``,
            ``exclude_padding``, ``record``, see :class:`CenterSelection`.

    Raises:
        InputError: If an option is out of range, or in the forward pass if a
            segment has fewer tokens than ``num_centers``.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models import TokenClustering, VideoTokens
        >>> neck = TokenClustering(before_block=7, num_segments=3, num_centers=49)
        >>> tokens = VideoTokens(torch.rand(2, 12, 1, 8), torch.rand(2, 12, 49, 8))
        >>> neck(tokens).patches.shape
        torch.Size([2, 3, 49, 8])
        >>> # In a config:
        >>> backbone = dict(
        ...     type='CLIPVisionTower',
        ...     arch='ViT-B-32-quickgelu',
        ...     necks=[dict(type='TokenClustering', before_block=7,
        ...                 num_segments=3, num_centers=49)])
    """

    def __init__(self,
                 before_block: int,
                 num_segments: int,
                 num_centers: int,
                 distance: str = 'euclidean',
                 p: float = 2.0,
                 pre_norm: bool = False,
                 max_iters: int = 100,
                 tol: float = 1e-6,
                 backend: str = 'auto',
                 **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers, **kwargs)
        self._one_of('distance', distance, DISTANCES)
        self._one_of('backend', backend, BACKENDS)
        if backend == 'triton' and self.exclude_padding:
            raise InputError(f"{type(self).__name__}: backend='triton' does "
                             'not go with exclude_padding')
        self._positive('max_iters', max_iters)
        if not p > 0:
            raise InputError(
                f'{type(self).__name__}: p must be positive, got {p!r}')
        self.options = dict(
            distance=distance,
            p=p,
            pre_norm=pre_norm,
            max_iters=max_iters,
            tol=tol,
            backend=backend)

    def choose(self, tokens: Tensor, valid: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        """Medoids and assignment of k-medoids++."""
        cluster = kmedoids
        if torch.compiler.is_compiling():
            cluster, tokens = kmedoids_operator, tokens.detach()
        return cluster(tokens, self.num_centers, valid=valid, **self.options)


@MODELS.register_module()
class SpectralTokenClustering(CenterSelection):
    """Keep the centers of each segment's spectral clusters.

    CenterCLIP (arXiv 2205.00823), Sec. 3.3. Takes no ``exclude_padding``.

    Args:
        before_block (int): Block in front of which to cluster, from 1.
        num_segments (int): Segments S; must divide the frames.
        num_centers (int): Tokens K to keep of each segment's.
        graph (str): ``'knn'`` or ``'heat'``. Defaults to ``'knn'``.
        sigma (float | str): Scale of the similarity, or ``'auto'``.
            Defaults to 2.0.
        knn (int, optional): Neighbours in the graph. Defaults to None: 5 a
            frame, and 5 more where a frame has 100 tokens or more.
        spatial_kernel (int, optional): Odd; with ``temporal_kernel``, keep
            similarities of tokens that are near each other only. For a square
            token grid, so only for the first reducer of a tower.
            Defaults to None: all.
        temporal_kernel (int): Odd. Defaults to 7.
        p (float): Order of the distance between rows. Defaults to 2.0.
        max_iters (int): Limit of update steps. Defaults to 100.
        tol (float): See :class:`TokenClustering`. Defaults to 1e-6.
        solver (str): See :func:`spectral_embedding`. Defaults to ``'auto'``.
        **kwargs: See :class:`CenterSelection`.

    Raises:
        InputError: If an option is out of range, or in the forward pass if a
            segment has fewer tokens than ``num_centers``, or no square grid
            with ``spatial_kernel``.

    Examples:
        >>> neck = dict(type='SpectralTokenClustering', before_block=7,
        ...             num_segments=3, num_centers=49)
    """

    def __init__(self,
                 before_block: int,
                 num_segments: int,
                 num_centers: int,
                 graph: str = 'knn',
                 sigma: float | str = 2.0,
                 knn: int | None = None,
                 spatial_kernel: int | None = None,
                 temporal_kernel: int = 7,
                 p: float = 2.0,
                 max_iters: int = 100,
                 tol: float = 1e-6,
                 solver: str = 'auto',
                 **kwargs) -> None:
        super().__init__(before_block, num_segments, num_centers, **kwargs)
        self._one_of('graph', graph, GRAPHS)
        self._one_of('solver', solver, SOLVERS)
        self._positive('max_iters', max_iters)
        if knn is not None:
            self._positive('knn', knn)
        self._check_options(sigma, p, spatial_kernel, temporal_kernel)
        self.knn = knn
        self.kernels = (spatial_kernel, temporal_kernel)
        self.options = dict(
            graph=graph,
            sigma=sigma,
            p=p,
            max_iters=max_iters,
            tol=tol,
            solver=solver)

    def _check_options(self, sigma: float | str, p: float,
                       spatial_kernel: int | None, temporal_kernel: int) -> None:
        name = type(self).__name__
        if self.exclude_padding:
            raise InputError(f'{name}: exclude_padding is for TokenClustering, '
                             'got True')
        number = isinstance(sigma, (int, float)) and sigma > 0
        if sigma != 'auto' and not number:
            raise InputError(f"{name}: sigma must be positive or 'auto', got "
                             f'{sigma!r}')
        if not p > 0:
            raise InputError(f'{name}: p must be positive, got {p!r}')
        for option, kernel in (('spatial_kernel', spatial_kernel),
                               ('temporal_kernel', temporal_kernel)):
            if kernel is not None and self._positive(option, kernel) % 2 == 0:
                raise InputError(f'{name}: {option} must be odd, got {kernel!r}')

    def choose(self, tokens: Tensor, valid: Tensor | None,
               frames: int) -> tuple[Tensor, Tensor]:
        """Medoids and assignment of spectral clustering."""
        per_frame = tokens.shape[1] // frames
        options = dict(
            self.options,
            knn=self.knn or 5 * frames + 5 * (per_frame >= 100),
            locality=self._locality(frames, per_frame))
        if not torch.compiler.is_compiling():
            return spectral_clustering(tokens, self.num_centers, **options)
        auto = options['sigma'] == 'auto'
        options['sigma'] = 0.0 if auto else float(options['sigma'])
        return spectral_operator(
            tokens.detach(), self.num_centers, auto_sigma=auto, **options)

    def _locality(self, frames: int, per_frame: int) -> Tensor | None:
        spatial_kernel, temporal_kernel = self.kernels
        if spatial_kernel is None:
            return None
        side = math.isqrt(per_frame)
        if side**2 != per_frame:
            raise InputError(f'{self}: spatial_kernel needs a square grid of '
                             f'tokens, got {per_frame} tokens a frame')
        return spatial_temporal_locality(
            frames,
            side,
            side,
            spatial_kernel=spatial_kernel,
            temporal_kernel=temporal_kernel)
