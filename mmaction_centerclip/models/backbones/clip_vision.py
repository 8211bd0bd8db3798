"""open_clip's vision transformer with necks between its blocks."""
from collections.abc import Sequence

from mmaction.registry import MODELS
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenReducer
from mmaction_centerclip.models.video_tokens import VideoTokens

from .clip_arch import vision_arguments

__all__ = ['CLIPVisionTower']


@MODELS.register_module()
class CLIPVisionTower(VisionTransformer):
    """CLIP's vision tower for videos.

    Parameters, state dict keys and, without necks, the output to the last
    bit are those of ``open_clip``'s own tower applied to every frame.

    Args:
        arch (str | dict): A ViT of open_clip by name
            (``'ViT-B-32-quickgelu'`` for OpenAI's weights) or its sizes, see
            :func:`clip_config`.
        necks (Sequence[dict]): Token reducers, each with its
            ``before_block``. Defaults to ().
        with_cp (bool): Whether to recompute the blocks' activations in the
            backward pass. Necks are not recomputed. Defaults to False.

    Raises:
        InputError: If ``arch`` is unknown or has no blocks, or a neck's
            ``before_block`` is not one of them.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models import CLIPVisionTower
        >>> tower = CLIPVisionTower(
        ...     'ViT-B-32-quickgelu',
        ...     necks=[dict(type='TokenClustering', before_block=7,
        ...                 num_segments=3, num_centers=49)])
        >>> features, mask = tower(torch.rand(1, 12, 3, 224, 224))
        >>> features.shape
        torch.Size([1, 3, 512])
    """
    num_prefix_tokens = 1

    def __init__(self,
                 arch: str | dict,
                 necks: Sequence[dict] = (),
                 with_cp: bool = False) -> None:
        super().__init__(**vision_arguments(arch))
        self.necks = nn.ModuleList(MODELS.build(neck) for neck in necks)
        self.set_grad_checkpointing(with_cp)
        num_blocks = len(self.transformer.resblocks)
        for neck in self.necks:
            if not isinstance(neck, TokenReducer):
                raise InputError('necks must be token reducers, got '
                                 f'{type(neck).__name__}')
            if neck.before_block > num_blocks:
                raise InputError(
                    f'{neck}: before_block must be from 1 to the tower\'s '
                    f'{num_blocks} blocks, got {neck.before_block}')

    def forward(
            self,
            imgs: Tensor,
            frame_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Encode videos.

        Args:
            imgs (Tensor): Normalised frames, shape (B, T, 3, H, W).
            frame_mask (Tensor, optional): True where a frame is real, bool
                (B, T). Defaults to None: all are.

        Returns:
            tuple[Tensor, Tensor | None]: Features of the segments (frames
            where no neck merges them), shape (B, S, E), not normalised; and
            their mask, bool (B, S), None if ``frame_mask`` is.
        """
        if imgs.ndim != 5 or imgs.shape[2] != 3:
            raise InputError('imgs must have the shape (B, T, 3, H, W), got '
                             f'{tuple(imgs.shape)}')
        if imgs.shape[-2:] != tuple(self.image_size):
            raise InputError(
                f'imgs must be frames of {tuple(self.image_size)} pixels, the '
                f"tower's size, got {tuple(imgs.shape[-2:])}; resize or crop "
                'them in the pipeline')
        batch_size, segments = imgs.shape[:2]
        x = self._embeds(imgs.flatten(0, 1))
        for number, block in enumerate(self.transformer.resblocks, start=1):
            for neck in self.necks:
                if neck.before_block == number:
                    tokens = neck(
                        VideoTokens.split(x, segments, self.num_prefix_tokens,
                                          frame_mask))
                    segments, frame_mask = neck.num_segments, tokens.frame_mask
                    x = tokens.join()
            if self.transformer.grad_checkpointing and self.training:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        pooled, _ = self._pool(x)
        if self.proj is not None:
            pooled = pooled @ self.proj
        return pooled.unflatten(0, (batch_size, segments)), frame_mask
