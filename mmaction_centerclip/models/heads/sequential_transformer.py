"""CLIP4Clip's sequential similarity: a transformer over the frames."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower

from .base import check_positive, counted
from .mean_pooling import MeanPoolingHead
from .transformer import build_transformer, copy_text_weights, key_mask

__all__ = ['SequentialTransformerHead']


@MODELS.register_module()
class SequentialTransformerHead(MeanPoolingHead):
    """Mean pooling of segments that a transformer has related to each other.

    CLIP4Clip (arXiv 2104.08860), Sec. 3.3.2, sequential type, Transformer
    encoder. Learned positions are added to the segments' features, pre-norm
    blocks attend to the real segments, and what comes out is added to the
    features, without positions. Separable: a video is one vector.

    Args:
        embed_dims (int): Width E of the features, a multiple of
            ``num_heads``.
        num_layers (int): Number of blocks. Defaults to 4.
        num_heads (int, optional): Heads of a block. Defaults to None: one
            for every 64 of ``embed_dims``, at least one.
        max_segments (int): Number of learned positions. Defaults to 77, the
            context length of CLIP, whose positions these start from.
        init_position_std (float): Of the positions where they do not start
            from CLIP's. Those of 0.01 beside features of about 1 take long
            to matter in a model that is trained from scratch.
            Defaults to 0.01.
        layer_norm_eps (float): Of the layer norms. CLIP4Clip has 1e-12,
            CenterCLIP 1e-5. Defaults to 1e-5.
        quick_gelu (bool): Whether the activation is OpenAI's QuickGELU, as
            in the text tower that the blocks start from. Defaults to True.
        **kwargs: See :class:`SimilarityHead`.

    Raises:
        InputError: If an option is not as above.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models.heads import SequentialTransformerHead
        >>> head = SequentialTransformerHead(embed_dims=512)
        >>> mask = torch.ones(2, 12, dtype=torch.bool)
        >>> head.video_features(torch.randn(2, 12, 512), mask)['video'].shape
        torch.Size([2, 512])
    """

    def __init__(self,
                 embed_dims: int,
                 num_layers: int = 4,
                 num_heads: int | None = None,
                 max_segments: int = 77,
                 init_position_std: float = 0.01,
                 layer_norm_eps: float = 1e-5,
                 quick_gelu: bool = True,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = embed_dims
        check_positive(self, max_segments=max_segments)
        if not init_position_std >= 0:
            raise InputError(
                f'{type(self).__name__}: init_position_std must not be '
                f'negative, got {init_position_std!r}')
        self.transformer = build_transformer(self, embed_dims, num_layers,
                                             num_heads, layer_norm_eps,
                                             quick_gelu)
        self.position_embedding = nn.Parameter(
            init_position_std * torch.randn(max_segments, embed_dims))

    def init_from_text_tower(self,
                             tower: CLIPTextTower,
                             positions: Tensor | None = None) -> None:
        """Copy the first blocks and positions of CLIP's text tower.

        Blocks and positions beyond the tower's keep their initialisation,
        and everything does, with a warning, if the tower's blocks are others.

        Args:
            tower (CLIPTextTower): With pretrained weights.
            positions (Tensor, optional): Shape (L, E). Defaults to None: the
                tower's.
        """
        copy_text_weights(self, tower, positions)

    def video_features(self, segments: Tensor,
                       mask: Tensor) -> dict[str, Tensor]:
        """The pooled ``video`` (B, E), of unit length.

        All segments of a video without a valid segment count.

        Raises:
            InputError: If the video has more segments than ``max_segments``.
        """
        count = segments.shape[1]
        if count > len(self.position_embedding):
            raise InputError(
                f'{type(self).__name__}: max_segments='
                f'{len(self.position_embedding)} is the most segments of a '
                f'video, got {count}')
        segments = segments.float()
        mask = counted(mask)
        related = self.transformer(
            segments + self.position_embedding[:count],
            attn_mask=key_mask(self.transformer, mask))
        return super().video_features(related + segments, mask)
