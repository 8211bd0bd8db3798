"""timm's vision transformer with necks between its blocks."""
from collections.abc import Sequence

from mmaction.registry import MODELS
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from .timm_parts import open_timm_attention, timm_block_halves, timm_patch_positions
from .tower_steps import OpenAttention
from .video_tower import Step, VideoTower

__all__ = ['TimmVisionTower']


@MODELS.register_module()
class TimmVisionTower(VideoTower, VisionTransformer):
    """timm's ``VisionTransformer`` applied to every frame of a video.

    Parameters, state dict keys and, without necks, the output to the last
    bit are timm's.

    Args:
        necks (Sequence[dict]): Necks, see :meth:`VideoTower.attach`.
            Defaults to ().
        arch (str | dict, optional): A retriever's, which this tower does not
            use. Defaults to None.
        with_cp (bool): Whether to recompute the blocks' activations in the
            backward pass. Defaults to False.
        **kwargs: Those of ``timm.models.vision_transformer.VisionTransformer``:
            ``img_size``, ``patch_size``, ``embed_dim``, ``depth``, ...; with
            ``num_classes=0`` the features are the pooled tokens, else the
            classifier's logits.

    Examples:
        >>> backbone = dict(
        ...     type='TimmVisionTower', img_size=224, patch_size=16,
        ...     num_classes=0,
        ...     necks=[dict(type='TokenClustering', before_block=7,
        ...                 num_segments=4, num_centers=160)])
    """

    def __init__(self, necks: Sequence[dict] = (), arch: str | dict | None = None,
                 with_cp: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if not self.dynamic_img_size:
            self.image_size = tuple(self.patch_embed.img_size)
        self.embed_dims = self.num_classes or self.head_hidden_size
        self.with_cp = with_cp
        self.attach(necks)

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        """Embed frames (B, T, 3, H, W) as tokens (B * T, P + N, C)."""
        x = self._pos_embed(self.patch_embed(imgs.flatten(0, 1)))
        return self.norm_pre(self.patch_drop(x))

    def tower_blocks(self) -> Sequence[nn.Module]:
        """Return the blocks."""
        return self.blocks

    def block_halves(self, block: nn.Module) -> tuple[Step, Step] | None:
        """Return the attention and the MLP of timm's plain block."""
        return timm_block_halves(block)

    def open_attention(self, block: nn.Module) -> OpenAttention | None:
        """Return the keys of timm's plain attention, and it with a bias."""
        return open_timm_attention(block)

    def tokens_to_features(self, x: Tensor) -> Tensor:
        """Pool as timm does, and classify where there are classes."""
        return self.forward_head(self.norm(x))

    def patch_positions(self) -> Tensor:
        """Return the positional embedding (N, C) of the patches, or zeros."""
        return timm_patch_positions(self)
