"""open_clip's vision transformer with necks between its blocks."""
from collections.abc import Sequence
from functools import partial

import torch
from mmaction.registry import MODELS
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import CenterSelection, TokenNeck
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
        necks (Sequence[dict]): Necks, each with its ``before_block``; of
            several in front of one block the first goes first.
            Defaults to ().
        linear_patch (str): ``'2d'``, or ``'3d'``: patches see the frames
            before and after theirs too (CLIP4Clip, Sec. 3.1), by ``conv2``,
            which starts as the 2-D convolution. Defaults to ``'2d'``.
        init_position_std (float, optional): Standard deviation that the
            positional embedding starts with, for training from scratch: from
            open_clip's, ``width ** -0.5``, a small model takes long to see
            where something is. Defaults to None: open_clip's.
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
                 linear_patch: str = '2d',
                 init_position_std: float | None = None,
                 with_cp: bool = False) -> None:
        super().__init__(**vision_arguments(arch))
        if linear_patch not in ('2d', '3d'):
            raise InputError(
                f"linear_patch must be '2d' or '3d', got {linear_patch!r}")
        self.linear_patch = linear_patch
        if linear_patch == '3d':
            self.conv2 = nn.Conv3d(
                3,
                self.conv1.out_channels,
                kernel_size=(3, *self.patch_size),
                stride=(1, *self.patch_size),
                padding=(1, 0, 0),
                bias=False)
            self.inflate_patches()
        if init_position_std is not None:
            nn.init.normal_(self.positional_embedding, std=init_position_std)
        self.set_grad_checkpointing(with_cp)
        self.necks = nn.ModuleList(self._build_neck(neck) for neck in necks)
        self.init_necks()

    def _build_neck(self, config: dict) -> TokenNeck:
        cls = MODELS.get(config['type']) if isinstance(
            config['type'], str) else config['type']
        if cls is None or not issubclass(cls, TokenNeck):
            raise InputError(f'necks must be token necks, got {config["type"]!r}')
        if issubclass(cls, CenterSelection):
            config = {'embed_dims': self.conv1.out_channels, **config}
        neck = MODELS.build(config)
        num_blocks = len(self.transformer.resblocks)
        if neck.before_block > num_blocks:
            raise InputError(f'{neck}: before_block must be from 1 to the '
                             f"tower's {num_blocks} blocks, got "
                             f'{neck.before_block}')
        block = self.transformer.resblocks[neck.before_block - 1]
        if neck.inside_block and not isinstance(block, ResidualAttentionBlock):
            raise InputError(f"{neck} works inside open_clip's plain block, "
                             f'the tower has {type(block).__name__}')
        return neck

    def inflate_patches(self) -> None:
        """Start the 3-D patch convolution as the 2-D one on the own frame."""
        if self.linear_patch == '3d':
            with torch.no_grad():
                self.conv2.weight.zero_()
                self.conv2.weight[:, :, 1] = self.conv1.weight

    def init_necks(self) -> None:
        """Start the necks' embeddings that come from the tower's positions."""
        for neck in self.necks:
            if isinstance(neck, CenterSelection):
                neck.init_from_positions(
                    self.positional_embedding[self.num_prefix_tokens:])

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
        x = self._embed_frames(imgs)
        done = None
        for number, block in enumerate(self.transformer.resblocks, start=1):
            necks = self._necks_before(number)
            for neck in necks:
                if neck is not done:
                    x, segments, frame_mask = self._run_neck(
                        neck, x, segments, frame_mask)
            inside = [neck for neck in necks if neck.inside_block]
            done = None if inside else self._selection_after(number, block)
            if done is not None:
                x, segments, frame_mask = self._run_block_and_select(
                    block, done, x, segments, frame_mask)
                continue
            run = partial(self._run_block, block, inside, segments)
            if self.transformer.grad_checkpointing and self.training:
                x = checkpoint(run, x, use_reentrant=False)
            else:
                x = run(x)
        pooled, _ = self._pool(x)
        if self.proj is not None:
            pooled = pooled @ self.proj
        return pooled.unflatten(0, (batch_size, segments)), frame_mask

    def _necks_before(self, number: int) -> list[TokenNeck]:
        return [neck for neck in self.necks if neck.before_block == number]

    def _selection_after(self, number: int,
                         block: nn.Module) -> CenterSelection | None:
        """The neck behind a block, if the block can spare the backward pass
        of the tokens that it drops."""
        necks = self._necks_before(number + 1)
        spares = (
            torch.is_grad_enabled() and not self.transformer.grad_checkpointing
            and isinstance(block, ResidualAttentionBlock) and len(necks) > 0
            and isinstance(necks[0], CenterSelection)
            and necks[0].aggregation == 'medoid')
        return necks[0] if spares else None

    def _run_block_and_select(
            self, block: nn.Module, neck: CenterSelection, x: Tensor,
            segments: int, frame_mask: Tensor | None
    ) -> tuple[Tensor, int, Tensor | None]:
        x = x + block.ls_1(block.attention(q_x=block.ln_1(x)))
        tokens = neck.forward_through(
            VideoTokens.split(x, segments, self.num_prefix_tokens, frame_mask),
            lambda x: x + block.ls_2(block.mlp(block.ln_2(x))))
        return tokens.join(), tokens.patches.shape[1], tokens.frame_mask

    def _run_neck(self, neck: TokenNeck, x: Tensor, segments: int,
                  frame_mask: Tensor | None) -> tuple[Tensor, int, Tensor | None]:
        tokens = neck(
            VideoTokens.split(x, segments, self.num_prefix_tokens, frame_mask))
        return tokens.join(), tokens.patches.shape[1], tokens.frame_mask

    def _run_block(self, block: nn.Module, inside: list, segments: int,
                   x: Tensor) -> Tensor:
        if not inside:
            return block(x)
        x = x + block.ls_1(block.attention(q_x=block.ln_1(x)))
        for neck in inside:
            x, _, _ = self._run_neck(neck, x, segments, None)
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    def _embed_frames(self, imgs: Tensor) -> Tensor:
        """Tokens (B * T, P + N, C) in front of the first block."""
        if self.linear_patch == '2d':
            return self._embeds(imgs.flatten(0, 1))
        x = self.conv2(imgs.transpose(1, 2))
        x = x.flatten(3).permute(0, 2, 3, 1).flatten(0, 1)
        token = self.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([token, x], dim=1)
        x = x + self.positional_embedding.to(x.dtype)
        return self.ln_pre(self.patch_dropout(x))
