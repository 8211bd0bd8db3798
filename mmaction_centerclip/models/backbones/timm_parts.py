"""Parts of timm's vision transformers, as the towers that host them need them."""
from inspect import signature

from timm.models.eva import EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from .tower_steps import AttentionHooks, Function, key_part, mean_keys

__all__ = ['open_timm_attention', 'timm_block_halves', 'timm_patch_positions']


def timm_block_halves(block: nn.Module) -> tuple[Function, Function] | None:
    """Return the attention and the MLP of a block, each with its residual."""
    if isinstance(block, EvaBlock):
        return _eva_halves(block)
    if isinstance(block, EvaBlockPostNorm):
        return (lambda x, rope=None: x + block.drop_path1(
                    block.norm1(block.attn(x, rope=rope))),
                lambda x, rope=None: x + block.drop_path2(block.norm2(block.mlp(x))))
    if not hasattr(block, 'ls1'):  # Norms behind, or halves side by side.
        return None
    return (lambda x: x + block.drop_path1(block.ls1(block.attn(block.norm1(x)))),
            lambda x: x + block.drop_path2(block.ls2(block.mlp(block.norm2(x)))))


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

    def keys(x: Tensor) -> Tensor:
        if attn.qkv is None:
            weight, bias = attn.k_proj.weight, attn.k_proj.bias
        else:  # Where the bias is a parameter of its own, that of the keys is zero.
            weight, bias = key_part(attn.qkv.weight), key_part(attn.qkv.bias)
        heads = getattr(attn, 'num_kv_heads', attn.num_heads)
        return mean_keys(norm(x), weight, bias, heads, attn.k_norm)

    def attention(x: Tensor, bias: Tensor, rope: Tensor | None = None) -> Tensor:
        y = norm_behind(attn(norm(x), rope=rope, attn_mask=bias[:, None, None]))
        return x + block.drop_path1(y if scale is None else scale * y)

    return AttentionHooks(keys, attention)


def timm_patch_positions(trunk: nn.Module) -> Tensor:
    """Return the positional embedding of the patches, or zeros."""
    patches = trunk.patch_embed.num_patches
    if trunk.pos_embed is None:
        return next(trunk.parameters()).new_zeros(patches, trunk.embed_dim)
    return trunk.pos_embed[0, trunk.pos_embed.shape[1] - patches:]


def open_timm_attention(block: nn.Module) -> AttentionHooks | None:
    """Return what merging needs of a block."""
    if isinstance(block, (EvaBlock, EvaBlockPostNorm)):
        return _open_eva_attention(block)
    if not hasattr(block, 'ls1') or type(block.attn) is not Attention:
        return None
    attn = block.attn
    if 'attn_mask' not in signature(attn.forward).parameters:  # of an older timm
        return None

    def keys(x: Tensor) -> Tensor:
        return mean_keys(block.norm1(x), key_part(attn.qkv.weight),
                         key_part(attn.qkv.bias), attn.num_heads, attn.k_norm)

    def attention(x: Tensor, bias: Tensor) -> Tensor:
        out = attn(block.norm1(x), attn_mask=bias[:, None, None])
        return x + block.drop_path1(block.ls1(out))

    return AttentionHooks(keys, attention)
