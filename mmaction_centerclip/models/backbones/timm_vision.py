"""timm's vision transformer with necks between its blocks."""
from collections.abc import Sequence
from functools import partial

import timm
import torch
from mmaction.registry import MODELS
from timm.layers import apply_rot_embed_cat
from timm.models.eva import EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import Tensor, nn

from mmaction_centerclip.clip.arch import why_unsuited
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.lora import adapted_weight

from .attention_hooks import AttentionHooks, Part, Rows, third
from .tower_steps import Function
from .video_tower import VideoTower


class TimmBlocks(VideoTower):
    """A tower whose blocks are timm's."""

    def block_halves(self, block: nn.Module) -> tuple[Function, Function] | None:
        if isinstance(block, EvaBlock):
            return _eva_halves(block)
        if isinstance(block, EvaBlockPostNorm):
            return (lambda x, rope=None: x + block.drop_path1(
                        block.norm1(block.attn(x, rope=rope))),
                    lambda x, rope=None: x + block.drop_path2(
                        block.norm2(block.mlp(x))))
        if not hasattr(block, 'ls1'):  # Norms behind, or halves side by side.
            return None
        return (lambda x: x + block.drop_path1(block.ls1(block.attn(block.norm1(x)))),
                lambda x: x + block.drop_path2(block.ls2(block.mlp(block.norm2(x)))))

    def open_attention(self, block: nn.Module) -> AttentionHooks | None:
        if isinstance(block, (EvaBlock, EvaBlockPostNorm)):
            return _open_eva_attention(block)
        if not hasattr(block, 'ls1') or type(block.attn) is not Attention:
            return None
        attn = block.attn

        def attention(x: Tensor, bias: Tensor) -> Tensor:
            out = attn(block.norm1(x), attn_mask=bias[:, None, None])
            return x + block.drop_path1(block.ls1(out))

        return AttentionHooks(
            attention, block.norm1, partial(third, attn.qkv, attn.qkv.bias),
            attn.head_dim, attn.q_norm, attn.k_norm)


def _eva_halves(block: EvaBlock) -> tuple[Function, Function]:

    def attention(x: Tensor, rope: Tensor | None = None) -> Tensor:
        y = block.attn(block.norm1(x), rope=rope)
        return x + block.drop_path1(y if block.gamma_1 is None else block.gamma_1 * y)

    def mlp(x: Tensor, rope: Tensor | None = None) -> Tensor:
        y = block.mlp(block.norm2(x))
        return x + block.drop_path2(y if block.gamma_2 is None else block.gamma_2 * y)

    return attention, mlp


def _open_eva_attention(block: EvaBlock | EvaBlockPostNorm) -> AttentionHooks:
    attn, scale = block.attn, getattr(block, 'gamma_1', None)
    norm, norm_behind = block.norm1, nn.Identity()
    if isinstance(block, EvaBlockPostNorm):
        norm, norm_behind = norm_behind, norm

    def part(number: int, rows: Rows) -> Part:
        if attn.qkv is None:
            layer = (attn.q_proj, attn.k_proj)[number]
            return adapted_weight(layer, 'weight', rows), (
                None if layer.bias is None else rows(layer.bias))
        bias = attn.qkv.bias
        if getattr(attn, 'q_bias', None) is not None:
            bias = torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])
        return third(attn.qkv, bias, number, rows)

    def attention(x: Tensor, bias: Tensor, rope: Tensor | None = None) -> Tensor:
        y = norm_behind(attn(norm(x), rope=rope, attn_mask=bias[:, None, None]))
        return x + block.drop_path1(y if scale is None else scale * y)

    def turn(heads: Tensor, rope: Tensor) -> Tensor:
        prefix, patches = heads.tensor_split([attn.num_prefix_tokens], dim=2)
        half = dict(half=True) if getattr(attn, 'rotate_half', False) else {}
        return torch.cat([prefix, apply_rot_embed_cat(patches, rope, **half)], dim=2)

    return AttentionHooks(attention, norm, part, attn.head_dim, attn.q_norm,
                          attn.k_norm, turn)


def timm_patch_positions(trunk: nn.Module) -> Tensor:
    """Return the positional embedding of the patches, or zeros."""
    patches = trunk.patch_embed.num_patches
    if trunk.pos_embed is None:
        return next(trunk.parameters()).new_zeros(patches, trunk.embed_dim)
    return trunk.pos_embed[0, trunk.pos_embed.shape[1] - patches:]


@MODELS.register_module()
class TimmVisionTower(TimmBlocks, VisionTransformer):
    """timm's ``VisionTransformer`` applied to every frame of a video.

    ``model_name`` is a plain ``VisionTransformer`` of timm's: what the zoo writes as
    ``type='timm.<name>'``. Its ``num_classes`` is 0 unless given; ``arch`` is not used.
    """
    pooling_parts = ('norm', 'attn_pool', 'fc_norm', 'head')

    def __init__(self, necks: Sequence[dict] = (), arch: str | dict | None = None,
                 with_cp: bool = False, model_name: str | None = None,
                 **kwargs) -> None:
        if model_name is None:
            super().__init__(**kwargs)
        else:
            nn.Module.__init__(self)
            # timm's own factory knows sizes and weights, but no class of ours.
            vars(self).update(vars(_create(model_name, kwargs)))
        if not self.dynamic_img_size:
            self.image_size = tuple(self.patch_embed.img_size)
        self.embed_dims = self.num_classes or self.head_hidden_size
        self.attach(necks, with_cp)

    def init_weights(self, *args, **kwargs) -> None:
        """Start as timm's ``__init__`` does; MMEngine's would overwrite weights."""
        if not hasattr(self, 'necks'):
            VisionTransformer.init_weights(self, *args, **kwargs)

    @property
    def pools_patches(self) -> bool:
        return self.global_pool != 'token'

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        x = self._pos_embed(self.patch_embed(imgs.flatten(0, 1)))
        return self.norm_pre(self.patch_drop(x))

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.blocks

    def tokens_to_features(self, x: Tensor) -> Tensor:
        return self.forward_head(self.norm(x))

    def patch_positions(self) -> Tensor:
        return timm_patch_positions(self)


def _create(name: str, options: dict) -> VisionTransformer:
    """Build a model by timm, and refuse one that is no plain transformer."""
    if not isinstance(name, str) or not timm.is_model(name.removeprefix('timm.')):
        raise InputError("model_name must be a model of timm's, see "
                         f'timm.list_models(), got {name!r}')
    model = timm.create_model(
        name.removeprefix('timm.'), **{'num_classes': 0, **options})
    if type(model) is not VisionTransformer:
        raise InputError(f"model_name={name!r} is timm's {type(model).__name__}, not "
                         f'its VisionTransformer: {why_unsuited(type(model).__name__)}')
    return model
