"""mmpretrain's vision transformer with necks between its blocks."""
from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, check_choice

from .video_tower import Function, VideoTower, use_plain_drop_probs

try:
    from mmpretrain.models.backbones import VisionTransformer
    from mmpretrain.models.utils import resize_pos_embed
except (ImportError, AssertionError):  # The latter where it refuses the mmcv.

    class VisionTransformer(nn.Module):
        """Placeholder for a package that is not there."""

        def __init__(self, **kwargs) -> None:
            raise InputError('MMPretrainVisionTower needs the package mmpretrain, '
                             'which is not installed, or not for this mmcv')



@MODELS.register_module()
class MMPretrainVisionTower(VideoTower, VisionTransformer):
    """mmpretrain's ``VisionTransformer`` applied to every frame; it is optional."""
    hosts = 'mmpretrain.VisionTransformer'
    pooling_parts = ('ln1', 'ln2')

    def __init__(self, necks: Sequence[dict] = (), arch: str | dict = 'base',
                 with_cp: bool = False, **kwargs) -> None:
        check_choice('MMPretrainVisionTower: out_type',
                     kwargs.get('out_type', 'cls_token'), ('cls_token', 'avg_featmap'))
        super().__init__(arch=arch, **kwargs)
        if list(self.out_indices) != [self.num_layers - 1]:
            raise InputError('MMPretrainVisionTower: out_indices must be the last, -1, '
                             f'got {kwargs["out_indices"]!r}')
        self.num_prefix_tokens = self.num_extra_tokens
        use_plain_drop_probs(self)
        self.attach(necks, with_cp)

    def train(self, mode: bool = True) -> 'MMPretrainVisionTower':
        """Set the mode and return the tower, which mmpretrain's does not."""
        super().train(mode)
        return self

    @property
    def pools_patches(self) -> bool:
        return self.out_type != 'cls_token'

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        x, grid = self.patch_embed(imgs.flatten(0, 1))
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + resize_pos_embed(
            self.pos_embed, self.patch_resolution, grid, mode=self.interpolate_mode,
            num_extra_tokens=self.num_extra_tokens)
        return self.pre_norm(self.drop_after_pos(x))

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.layers

    def block_halves(self, block: nn.Module) -> tuple[Function, Function]:
        return (lambda x: x + block.attn(block.ln1(x)),
                lambda x: block.ffn(block.ln2(x), identity=x))

    def tokens_to_features(self, x: Tensor) -> Tensor:
        if self.final_norm:
            x = self.ln1(x)
        return self._format_output(x, None)

    def patch_positions(self) -> Tensor:
        return self.pos_embed[0, self.num_extra_tokens:]
