"""MMAction2's UniFormerV2 with necks between its blocks."""
from collections.abc import Sequence

import torch
from mmaction.models.backbones import UniFormerV2
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenNeck
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import mask_or_all

from .tower_steps import BlockStep, Function, Step, run_real_frames
from .video_tower import EncodedSegments, VideoTower


@MODELS.register_module()
class UniFormerV2Tower(VideoTower, UniFormerV2):
    """MMAction2's ``UniFormerV2`` (arXiv 2211.09552).

    Its global blocks read the full grid of patches behind the blocks of
    ``return_list``, by a convolution: in front of such a block only necks that keep
    every patch at its place are right, such as ``SegmentMeanPooling``; with local
    blocks (``no_lmhra=False``), in front of every block. The zoo's configs read the
    last block, and take no other neck.
    """
    hosts = 'UniFormerV2'
    joins_frames = True
    pooling_parts = tuple(f'transformer.{name}' for name in (
        'temporal_cls_token', 'balance', 'dpe', 'dec', 'norm'))

    def __init__(self, necks: Sequence[dict] = (), arch: str | dict | None = None,
                 with_cp: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.image_size = (self.input_resolution, self.input_resolution)
        self.attach(necks, with_cp)

    def check_neck(self, neck: TokenNeck) -> None:
        """Refuse necks in front of a block that needs every patch's place."""
        if neck.keeps_places:
            return
        here = neck.before_block
        read = sorted(i + 1 for i in self.transformer.return_list if i + 1 >= here)
        if read:
            raise InputError(
                f'{neck}: the global blocks of UniFormerV2 read the full grid of '
                f'patches behind the blocks {read}, which this neck in front of '
                'them does not leave; take a neck that keeps places, such as '
                'SegmentMeanPooling')
        if not self.transformer.resblocks[here - 1].no_lmhra:
            raise InputError(
                f'{neck}: the local blocks of UniFormerV2 (no_lmhra=False) convolve '
                'the full grid of patches, which this neck does not leave')

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        x = self.conv1(imgs.transpose(1, 2))
        frames = x.shape[2]
        if frames != self.transformer.T:
            times = imgs.shape[1] // frames
            raise InputError(f'imgs must have {self.transformer.T * times} frames, as '
                             f't_size says, got {imgs.shape[1]}')
        x = x.permute(0, 2, 3, 4, 1).flatten(2, 3).flatten(0, 1)
        token = self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat([token, x], dim=1) + self.positional_embedding.to(x.dtype)
        return self.ln_pre(x)

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.transformer.resblocks

    def block_step(self, block: nn.Module) -> Function:
        """Return a block for tokens (1 + N, B, S, C), see :meth:`around`."""
        return lambda x: block(x.flatten(1, 2), x.shape[2]).view_as(x)

    def block_halves(self, block: nn.Module) -> tuple[Function, Function] | None:
        number = list(self.tower_blocks()).index(block)
        if number in self.transformer.return_list or not block.no_lmhra:
            return None

        def attention(x: Tensor) -> Tensor:
            y = block.attention(block.ln_1(x.flatten(1, 2))).view_as(x)
            return x + block.drop_path(y)

        return attention, lambda x: x + block.drop_path(block.mlp(block.ln_2(x)))

    def around(self, function: Function, tokens: VideoTokens) -> Tensor:
        """Run a block in the zoo's layout, tokens first, and videos apart."""
        return run_real_frames(
            lambda x: function(x.permute(2, 0, 1, 3)).permute(1, 2, 0, 3), tokens)

    def patch_positions(self) -> Tensor:
        return self.positional_embedding[1:]

    def encode_segments(self, imgs: Tensor,
                        frame_mask: Tensor | None = None) -> EncodedSegments:
        reading = self.transformer
        grids: list[Tensor] = []

        def read(step: Step, tokens: VideoTokens) -> None:
            if isinstance(step, BlockStep) and step.number - 1 in reading.return_list:
                grids.append(tokens.by_frame)

        tokens = self.run_blocks(imgs, frame_mask, read)
        mask = tokens.frame_mask
        if mask is None or tokens.attend_masked or mask.all():
            features = self._read(grids, tokens.prefix)
        else:
            features = torch.cat([
                self._read([grid[i, real][None] for grid in grids],
                           tokens.prefix[i, real][None])
                for i, real in enumerate(mask_or_all(mask))])
        return EncodedSegments.of_video(features, mask)

    def _read(self, grids: Sequence[Tensor], prefix: Tensor) -> Tensor:
        """Return the features (B, C) that the global blocks make of grids."""
        reading = self.transformer
        token = reading.temporal_cls_token.repeat(1, prefix.shape[0], 1)
        for convolution, block, grid in zip(reading.dpe, reading.dec, grids):
            token = block(token, self._all_tokens(convolution, grid))
        share = reading.sigmoid(reading.balance)
        mean = prefix[:, :, 0].mean(1)
        return reading.norm((1 - share) * token[0] + share * mean)

    @staticmethod
    def _all_tokens(convolution: nn.Module, x: Tensor) -> Tensor:
        """Return tokens (S * (1 + N), B, C), patches with their surroundings."""
        grid = x[:, :, 1:].permute(0, 3, 1, 2)  # (B, C, S, N)
        width = int(grid.shape[-1]**0.5)
        around = convolution(grid.unflatten(3, (width, width)).contiguous())
        patches = x[:, :, 1:] + around.flatten(3).permute(0, 2, 3, 1)
        x = torch.cat([x[:, :, :1], patches], dim=2)
        return x.permute(1, 2, 0, 3).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encode clips (B, 3, T, H, W) as the zoo's class does, to (B, C)."""
        return self.encode(x.transpose(1, 2))[0][:, 0]
