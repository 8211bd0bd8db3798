"""MMAction2's VideoMAE transformer with necks between its blocks."""
from collections.abc import Sequence

import torch
from mmaction.models.backbones import VisionTransformer
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenNeck
from mmaction_centerclip.models.video_tokens import VideoTokens

from .attention_hooks import AttentionHooks, third
from .tower_steps import Function, run_real_frames
from .video_tower import VideoTower


@MODELS.register_module()
class VideoMAETower(VideoTower, VisionTransformer):
    """MMAction2's ``VisionTransformer``: VideoMAE, and VideoMAE V2.

    Of arXiv 2203.12602 and 2303.16727. Attention joins all frames, and there is no
    class token. A *frame* of the necks is a tubelet: ``tubelet_size`` frames, embedded
    together.
    """
    hosts = 'VisionTransformer'
    num_prefix_tokens = 0
    joins_frames = True
    pooling_parts = ('norm', 'fc_norm')

    def __init__(self, necks: Sequence[dict] = (), arch: str | dict | None = None,
                 with_cp: bool = False, tubelet_size: int = 2, **kwargs) -> None:
        if kwargs.get('pretrained'):
            raise InputError(
                "pretrained, which the zoo's class forgets again, is not an option; "
                "write init_cfg=dict(type='Pretrained', checkpoint="
                f'{kwargs["pretrained"]!r})')
        super().__init__(tubelet_size=tubelet_size, **kwargs)
        if necks and self.return_feat_map:
            raise InputError('return_feat_map=True needs the tokens of every '
                             'place, which necks do not keep')
        self.tubelet_size = tubelet_size
        self.attach(necks, with_cp)

    def check_neck(self, neck: TokenNeck) -> None:
        """Refuse rows of different lengths that attention would join."""
        if neck.pads and neck.num_segments != 1:
            raise InputError(f'{neck}: num_segments must be 1, as attention joins all '
                             f'frames of a video here, got {neck.num_segments}')

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        return self.embed(imgs).x

    def embed(self, imgs: Tensor, frame_mask: Tensor | None = None) -> VideoTokens:
        grid = tuple(size // self.patch_size for size in imgs.shape[-2:])
        x = self.patch_embed(imgs.transpose(1, 2))[0]
        positions = self.pos_embed
        if grid != self.grid_size:
            # As the zoo resizes them, for frames of another size.
            positions = positions.unflatten(1, (-1, *self.grid_size)).flatten(
                0, 1).permute(0, 3, 1, 2)
            positions = F.interpolate(
                positions, size=grid, mode='bicubic', align_corners=False)
            positions = positions.flatten(2).mT.flatten(0, 1)[None]
        if positions.shape[1] != x.shape[1]:
            frames = positions.shape[1] // (grid[0] * grid[1])
            raise InputError(f'imgs must have {frames * self.tubelet_size} frames, as '
                             f'num_frames says, got {imgs.shape[1]}')
        patches, x = (tokens.unflatten(1, (-1, grid[0] * grid[1]))
                      for tokens in (x, self.pos_drop(x + positions)))
        tokens = VideoTokens.of(x.flatten(0, 1), imgs.shape[0], 0, frame_mask)
        compared = any(neck.pads for neck in self.necks)
        return tokens.replace(keys=patches) if compared else tokens

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.blocks

    def block_halves(self, block: nn.Module) -> tuple[Function, Function]:
        scale_1, scale_2 = (getattr(block, name, 1) for name in ('gamma_1', 'gamma_2'))
        return (lambda x: x + block.drop_path(scale_1 * block.attn(block.norm1(x))),
                lambda x: x + block.drop_path(scale_2 * block.mlp(block.norm2(x))))

    def open_attention(self, block: nn.Module) -> AttentionHooks:
        """Write the zoo's attention out with a bias, which its own does not take."""
        attn, scale = block.attn, getattr(block, 'gamma_1', 1)

        def qkv_bias() -> Tensor | None:
            if not hasattr(attn, 'q_bias'):
                return None
            return torch.cat([attn.q_bias, torch.zeros_like(attn.q_bias), attn.v_bias])

        def attention(x: Tensor, bias: Tensor) -> Tensor:
            """Compute softmax(q k / sqrt(d) + bias) v, and add it to ``x``."""
            qkv = F.linear(block.norm1(x), attn.qkv.weight, qkv_bias())
            query, key, value = qkv.unflatten(-1, (3, attn.num_heads, -1)).permute(
                2, 0, 3, 1, 4)
            # All tokens of a video, in the order of their frames.
            out = F.scaled_dot_product_attention(
                query, key, value, attn_mask=bias.view(x.shape[0], 1, 1, -1),
                dropout_p=attn.attn_drop.p * attn.training, scale=attn.scale)
            out = attn.proj_drop(attn.proj(out.transpose(1, 2).flatten(2)))
            return x + block.drop_path(scale * out)

        return AttentionHooks(
            attention, block.norm1,
            lambda number, rows: third(attn.qkv, qkv_bias(), number, rows),
            len(attn.qkv.weight) // 3 // attn.num_heads)

    def around(self, function: Function, tokens: VideoTokens) -> Tensor:
        """Run a block on all tokens of a video together."""
        return run_real_frames(
            lambda x: function(x.flatten(1, 2)).unflatten(1, x.shape[1:3]), tokens)

    def tokens_to_features(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return x[:, 0] if self.fc_norm is None else self.fc_norm(x.mean(1))

    def patch_positions(self) -> Tensor:
        return self.pos_embed[0, :self.grid_size[0] * self.grid_size[1]]

    def forward(self, x: Tensor) -> Tensor:
        """Encode clips (B, 3, T, H, W) as the zoo's class does, for recognisers.

        To (B, C), or with ``return_feat_map`` to the map (B, C, T', H', W').
        """
        tokens = self.run_steps(x.transpose(1, 2))
        if any(neck.pads for neck in self.necks):
            return self.pool_tokens(tokens)
        tokens = tokens.by_frame
        if self.return_feat_map:
            height, width = (s // self.patch_size for s in x.shape[-2:])
            return self.norm(tokens).unflatten(
                2, (height, width)).permute(0, 4, 1, 2, 3)
        tokens = tokens.flatten(1, 2)
        # The zoo's tokens lie channel by channel in memory, unless the frames'
        # pixels do not, and the rounding of their mean depends on it.
        if not x.is_contiguous(memory_format=torch.channels_last_3d):
            tokens = tokens.mT.contiguous().mT
        return self.tokens_to_features(tokens)
