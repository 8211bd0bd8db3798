"""CenterCLIP's token clustering as a neck between two blocks."""
import torch
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import kmedoids
from mmaction_centerclip.ops.distances import DISTANCES

from .base import TokenReducer

__all__ = ['TokenClustering']


@MODELS.register_module()
class TokenClustering(TokenReducer):
    """Keep the k-medoids++ centers of each segment's tokens.

    CenterCLIP (arXiv 2205.00823), Sec. 3.2 and 3.3. The centers are chosen
    without gradient, in float32 whatever the autocast dtype; gradients flow
    through the tokens that were kept.

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
        record (bool): Whether to keep the last decision on the module, as
            ``medoids`` int64 (B * S, K) and ``assignment`` int64
            (B * S, T / S * N). Defaults to False.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

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
                 record: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(before_block, num_segments, init_cfg)
        self.num_centers = self._positive('num_centers', num_centers)
        self._positive('max_iters', max_iters)
        if distance not in DISTANCES:
            raise InputError(f'{type(self).__name__}: distance must be one of '
                             f'{DISTANCES}, got {distance!r}')
        if not p > 0:
            raise InputError(
                f'{type(self).__name__}: p must be positive, got {p!r}')
        self.options = dict(
            distance=distance,
            p=p,
            pre_norm=pre_norm,
            max_iters=max_iters,
            tol=tol)
        self.record = record

    def reduce(self, patches: Tensor) -> Tensor:
        """Keep the centers of each segment, in token order."""
        if self.num_centers > patches.shape[1]:
            raise InputError(
                f'{self}: num_centers must not exceed the '
                f'{patches.shape[1]} tokens of a segment')
        medoids, assignment = self.cluster(patches)
        if self.record:
            self.medoids, self.assignment = medoids, assignment
        index = medoids[..., None].expand(-1, -1, patches.shape[-1])
        return patches.gather(1, index)

    @torch.compiler.disable
    def cluster(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """The decision alone: medoids (B * S, K) and assignment."""
        return kmedoids(patches, self.num_centers, **self.options)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_centers={self.num_centers}'
