"""open_clip's vision transformer with necks between its blocks."""
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from mmaction.registry import MODELS
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from mmaction_centerclip.clip.arch import vision_arguments
from mmaction_centerclip.models.lora import without_adapter

from .attention_hooks import AttentionHooks, third
from .tower_steps import Function
from .video_tower import VideoTower


@MODELS.register_module()
class CLIPVisionTower(VideoTower, VisionTransformer):
    """CLIP's vision tower for videos, open_clip's own applied to every frame.

    Args:
        arch (str | dict): See :func:`clip_config`; ``'ViT-B-32-quickgelu'`` for
            OpenAI's weights.
        linear_patch (str): ``'3d'``: patches see the frames before and after theirs too
            (CLIP4Clip, Sec. 3.1), by ``conv2``, which starts as the 2-D convolution.
        init_position_std (float, optional): Start of the positional embedding, to train
            from scratch: from open_clip's, ``width ** -0.5``, a small model takes long
            to see where something is.
    """
    added_keys = ('necks.', 'conv2.')
    pooling_parts = ('attn_pool', 'attn_pool_contrastive', 'ln_post', 'proj')

    def __init__(self, arch: str | dict, necks: Sequence[dict] = (),
                 linear_patch: Literal['2d', '3d'] = '2d',
                 init_position_std: float | None = None, with_cp: bool = False) -> None:
        super().__init__(**vision_arguments(arch))
        self.linear_patch = linear_patch
        if linear_patch == '3d':
            self.conv2 = nn.Conv3d(
                3, self.conv1.out_channels, kernel_size=(3, *self.patch_size),
                stride=(1, *self.patch_size), padding=(1, 0, 0), bias=False)
            self.inflate_patches()
        if init_position_std is not None:
            nn.init.normal_(self.positional_embedding, std=init_position_std)
        self.embed_dims = self.output_dim
        self.attach(necks, with_cp)

    @property
    def pools_patches(self) -> bool:
        return self.attn_pool is not None or self.pool_type != 'tok'

    def inflate_patches(self) -> None:
        """Start the 3-D patch convolution as the 2-D one on the own frame."""
        with torch.no_grad():
            self.conv2.weight.zero_()
            self.conv2.weight[:, :, 1] = self.conv1.weight

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        if self.linear_patch == '2d':
            return self._embeds(imgs.flatten(0, 1))
        x = self.conv2(imgs.transpose(1, 2))
        x = x.flatten(3).permute(0, 2, 3, 1).flatten(0, 1)
        token = self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat([token, x], dim=1)
        x = x + self.positional_embedding.to(x.dtype)
        return self.ln_pre(self.patch_dropout(x))

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.transformer.resblocks

    def block_halves(self, block: nn.Module) -> tuple[Function, Function]:

        def attention(x: Tensor) -> Tensor:
            if hasattr(block, 'attention'):
                return x + block.ls_1(block.attention(q_x=block.ln_1(x)))
            # What open_clip calls a custom block, with norms of its own.
            return x + block.ls_1(block.ln_attn(block.attn(block.ln_1(x))))

        return attention, lambda x: x + block.ls_2(block.mlp(block.ln_2(x)))

    def open_attention(self, block: nn.Module) -> AttentionHooks:
        attn, plain = without_adapter(block.attn), hasattr(block, 'attention')
        norm = block.ln_1

        def attention(x: Tensor, bias: Tensor) -> Tensor:
            q = norm(x)
            if plain:
                # torch's own begins by a transposition, and is slow with frozen
                # weights where what comes of it is not contiguous.
                q = q.transpose(0, 1).contiguous().transpose(0, 1)
                out, _ = block.attn(q, q, q, need_weights=False, key_padding_mask=bias)
            else:
                out = block.ln_attn(block.attn(q, attn_mask=bias[:, None, None]))
            return x + block.ls_1(out)

        return AttentionHooks(
            attention, norm,
            partial(third, block.attn, attn.in_proj_bias, name='in_proj_weight'),
            attn.head_dim, getattr(attn, 'ln_q', None), getattr(attn, 'ln_k', None))

    def tokens_to_features(self, x: Tensor) -> Tensor:
        pooled, _ = self._pool(x)
        return pooled if self.proj is None else pooled @ self.proj

    def patch_positions(self) -> Tensor:
        return self.positional_embedding[self.num_prefix_tokens:]

    def freeze(self, num_blocks: int) -> None:
        super().freeze(num_blocks)
        if self.linear_patch == '3d':
            self.conv2.requires_grad_(True)

    def load_pretrained(self, state: dict[str, Tensor], source: str) -> None:
        super().load_pretrained(state, source)
        if self.linear_patch == '3d' and 'conv2.weight' not in state:
            self.inflate_patches()
