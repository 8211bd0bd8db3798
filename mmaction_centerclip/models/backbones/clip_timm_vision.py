"""open_clip's towers that are timm's, with necks between their blocks."""
from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from open_clip.timm_model import TimmModel
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mmaction_centerclip.clip.arch import timm_arguments
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens

from .timm_vision import TimmBlocks, timm_patch_positions
from .tower_steps import Function


@MODELS.register_module()
class CLIPTimmVisionTower(TimmBlocks, TimmModel):
    """A vision tower that open_clip takes from timm, for videos.

    Those that are timm's plain ``VisionTransformer`` (SigLIP, SigLIP 2, some of
    MobileCLIP) or its ``Eva`` (EVA, PE-Core). Where there is no class token, or all
    tokens are pooled, a segment's feature comes from the tokens that its necks leave.

    Rotary positions (arXiv 2104.09864) turn each token's queries and keys by its place
    in its frame, see :attr:`VideoTokens.positions`. The mean of a cluster has the place
    of its center, the mean of frames that of the first one's token. Class tokens are
    not turned, as in timm.
    """
    pooling_parts = ('trunk.norm', 'trunk.attn_pool', 'trunk.fc_norm', 'trunk.head',
                     'head')

    def __init__(self, arch: str | dict, necks: Sequence[dict] = (),
                 with_cp: bool = False) -> None:
        arguments = timm_arguments(arch)
        try:
            super().__init__(**arguments)
        except AssertionError as error:  # timm's checks of the pooling
            raise InputError(f'arch {arch!r}: vision_cfg: {error}') from error
        self._check_trunk(arguments['model_name'])
        self.num_prefix_tokens = self.trunk.num_prefix_tokens
        self.embed_dims = arguments['embed_dim']
        self.attach(necks, with_cp)

    def _check_trunk(self, name: str) -> None:
        """Refuse what is not computed as below."""
        trunk, rope = self.trunk, getattr(self.trunk, 'rope', None)
        # Not their subclasses, which may embed or pool in ways of their own.
        if type(trunk) not in (VisionTransformer, Eva):
            raise InputError(f"timm's {name} is a {type(trunk).__name__}; hosted are "
                             'its plain VisionTransformer and Eva')
        if not trunk.global_pool:
            raise InputError("vision_cfg: timm_pool must be a pooling of timm's "
                             f'{name}, got {trunk.global_pool!r}')
        if self.image_size != tuple(trunk.patch_embed.img_size):
            raise InputError(f"vision_cfg: image_size must be that of timm's {name}, "
                             f'{trunk.patch_embed.img_size}, got {self.image_size}')
        if rope is None:
            return
        if getattr(trunk, 'rope_mixed', False) or getattr(rope, 'aug_active', False):
            raise InputError(f"timm's {name} has rotary positions that differ by block "
                             'or at random, which are not hosted')
        if trunk.patch_drop is not None:
            raise InputError('vision_cfg: patch_dropout must be 0 where positions are '
                             f'rotary, got {trunk.patch_drop.prob}')

    @property
    def pools_patches(self) -> bool:
        return self.trunk.global_pool != 'token'

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        trunk = self.trunk
        x = trunk._pos_embed(trunk.patch_embed(imgs.flatten(0, 1)))
        # Eva's comes with the rotary embedding, and has dropped patches.
        x = x[0] if isinstance(x, tuple) else trunk.patch_drop(x)
        return trunk.norm_pre(x)

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.trunk.blocks

    def around(self, function: Function, tokens: VideoTokens) -> Tensor:
        """Run a block, or a half of it, with the rotary embedding of its tokens."""
        rope = getattr(self.trunk, 'rope', None)
        if rope is None:
            return function(tokens.x)
        rope = rope.get_embed(self.trunk.patch_embed.grid_size)  # (N, 2 * D)
        if tokens.positions is not None:
            places = tokens.positions.flatten(0, 1) % len(rope)
            rope = rope[places][:, None]  # of all heads: (B * S, 1, K, 2 * D)
        patches = tokens.x.shape[1] - tokens.num_prefix
        if rope.shape[-2] != patches:
            raise InputError(
                f'{type(self).__name__}: a neck must return the positions of its '
                f'tokens, which are rotary here; got those of {rope.shape[-2]} for '
                f'{patches} tokens')
        if added := tokens.num_prefix - self.num_prefix_tokens:
            # More class tokens than timm has are not turned either: sine 0, cosine 1.
            still = rope.new_zeros(*rope.shape[:-2], added, rope.shape[-1])
            still[..., rope.shape[-1] // 2:] = 1
            rope = torch.cat([still, rope], dim=-2)
        return function(tokens.x, rope=rope)

    def tokens_to_features(self, x: Tensor) -> Tensor:
        return self.head(self.trunk.forward_head(self.trunk.norm(x)))

    def train(self, mode: bool = True) -> 'CLIPTimmVisionTower':
        """Choose training or evaluation; frozen batch norms keep to the latter.

        Their statistics would change otherwise, and with them the tokens of frames that
        nothing trains. MobileCLIP's stem has such norms.
        """
        super().train(mode)
        for module in self.trunk.patch_embed.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self

    def patch_positions(self) -> Tensor:
        return timm_patch_positions(self.trunk)
