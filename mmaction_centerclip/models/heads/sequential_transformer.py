"""CLIP4Clip's sequential similarity: a transformer over the frames."""
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.ops import mask_or_all

from .mean_pooling import MeanPoolingHead
from .transformer import TextTransformerMixin


@MODELS.register_module()
class SequentialTransformerHead(TextTransformerMixin, MeanPoolingHead):
    """Mean pooling of segments that a transformer has related to each other.

    CLIP4Clip (arXiv 2104.08860), Sec. 3.3.2, sequential type, Transformer encoder.
    Learned positions are added to the segments' features, pre-norm blocks attend to the
    real segments, and what comes out is added to the features, without positions.
    Separable: a video is one vector.

    Args:
        embed_dims (int): Width E of the features, a multiple of ``num_heads``.
        max_segments (int): Number of learned positions. Defaults to 77, the context
            length of CLIP, whose positions these start from.
        **kwargs: ``num_layers``, ``num_heads``, ``init_position_std``,
            ``layer_norm_eps`` and ``quick_gelu`` of
            :class:`TextTransformerMixin`; and see :class:`SimilarityHead`.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models.heads import SequentialTransformerHead
        >>> head = SequentialTransformerHead(embed_dims=512)
        >>> mask = torch.ones(2, 12, dtype=torch.bool)
        >>> head.video_features(torch.randn(2, 12, 512), mask)['video'].shape
        torch.Size([2, 512])
    """

    def __init__(self, embed_dims: int, *, max_segments: int = 77, **kwargs) -> None:
        check_positive_int(f'{type(self).__name__}: max_segments', max_segments)
        super().__init__(embed_dims, num_positions=max_segments, **kwargs)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return the pooled ``video`` (B, E), of unit length.

        All segments of a video without a valid segment count.
        """
        longest, count = len(self.position_embedding), segments.shape[1]
        if count > longest:
            raise InputError(
                f'{type(self).__name__}: max_segments={longest} is the most '
                f'segments of a video, got {count}')
        segments = segments.float()
        related = self.relate(segments, mask_or_all(frame_mask))
        return super().video_features(related + segments, frame_mask)
