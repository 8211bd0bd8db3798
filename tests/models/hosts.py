"""The hosts of necks in small, each with its stock model, to test alike.

``embed``, ``halves`` and ``pool`` are written by hand from the stock model's
parts, so that an oracle can run its blocks one by one.
"""
import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field

import timm.models.vision_transformer
import torch
from mmaction.models.backbones import TimeSformer
from mmaction.models.backbones import VisionTransformer as VideoMAE
from mmaction.registry import MODELS
from open_clip.model import CLIP, CustomTextCLIP
from torch import nn

from ..conftest import TINY_ARCH
from ..reference.reduced_arch import reduced_arch
from ..reference.rotary import angles_of, rotary_attention

TIMM = dict(img_size=32, patch_size=16, embed_dim=32, depth=3, num_heads=2,
            num_classes=0)
MAE = dict(img_size=32, patch_size=16, embed_dims=32, depth=3, num_heads=2,
           mlp_ratio=2, num_frames=8)
TIMESFORMER = dict(img_size=32, patch_size=16, embed_dims=32, num_heads=2,
                   num_transformer_layers=3, num_frames=8)


@dataclass
class Host:
    """One host: how to build it and its stock model, and its parts by hand."""
    config: dict
    stock: Callable[[], nn.Module]
    blocks: Callable = lambda stock: stock.blocks
    embed: Callable = None  # (stock, imgs (B, T, 3, H, W)) -> (B * T', P + N, C)
    halves: Callable = None  # (block) -> attention, mlp, without residuals
    pool: Callable = None  # (stock, (B * S, P + K, C)) -> (B * S, E)
    prefix: int = 1
    joint: bool = False  # attention over all frames
    clips: bool = False  # the stock model takes (B, 3, T, H, W)
    tubelet: int = 1  # frames that are embedded together
    video_token: Callable = None  # (stock, B) -> (B, 1, C), of no frame
    random: dict = field(default_factory=dict)  # options that drop at random
    rope: dict | None = None  # of angles_of; attention then takes them too

    def build(self, necks=(), **options):
        config = copy.deepcopy({**self.config, **options})
        return MODELS.build(dict(config, necks=copy.deepcopy(list(necks))))

    def run_block(self, block, x, token, batch_size, positions=None):
        """Run on tokens of frames, and of the video where there are."""
        if self.rope and isinstance(block, nn.Module):
            attention, mlp = self.halves(block)
            x = x + self.run_block(attention, x, None, batch_size, positions)[0]
            return x + mlp(x), None
        if self.rope:
            return block(x, self.angles(len(x), positions)), None
        if not self.joint:
            return block(x), None
        tokens = x.unflatten(0, (batch_size, -1))
        video = tokens.flatten(1, 2)
        if token is None:
            return block(video).view_as(tokens).flatten(0, 1), None
        video = block(torch.cat([video, token], dim=1))
        return video[:, :-1].view_as(tokens).flatten(0, 1), video[:, -1:]

    def angles(self, frames, positions):
        places = frames * [range(4)]
        if positions is not None:
            places = positions.flatten(0, 1).tolist()
        return [[angles_of(place % 4, **self.rope) for place in row] for row in places]


def clip_arch(**vision):
    return dict(TINY_ARCH, vision_cfg=dict(TINY_ARCH['vision_cfg'], **vision))


def clip_host(**vision):
    def attention(block, x):
        if vision:
            return block.ls_1(block.ln_attn(block.attn(block.ln_1(x))))
        return block.ls_1(block.attention(block.ln_1(x)))

    return Host(
        dict(type='CLIPVisionTower', arch=clip_arch(**vision)),
        lambda: CLIP(**copy.deepcopy(clip_arch(**vision))).visual,
        blocks=lambda stock: stock.transformer.resblocks,
        embed=lambda stock, imgs: stock._embeds(imgs.flatten(0, 1)),
        halves=lambda block: (lambda x: attention(block, x),
                              lambda x: block.ls_2(block.mlp(block.ln_2(x)))),
        pool=lambda stock, x: stock.ln_post(x)[:, 0] @ stock.proj)


def timm_host(prefix=1, **options):
    def pool(stock, x):
        x = stock.norm(x)
        if options.get('global_pool') == 'avg':
            return stock.fc_norm(x[:, prefix:].mean(1))
        return x[:, 0]

    options = {**TIMM, **options}
    return Host(
        dict(type='TimmVisionTower', **options),
        lambda: timm.models.vision_transformer.VisionTransformer(**options),
        embed=lambda stock, imgs: stock.norm_pre(
            stock._pos_embed(stock.patch_embed(imgs.flatten(0, 1)))),
        halves=lambda block: (lambda x: block.ls1(block.attn(block.norm1(x))),
                              lambda x: block.ls2(block.mlp(block.norm2(x)))),
        pool=pool,
        prefix=prefix,
        random=dict(drop_path_rate=0.5))


def clip_timm_host(name, pool, prefix=1, rope=None):
    arch = dict(layers=3, width=32, image_size=32, patch_size=16)

    def embed(stock, imgs):
        trunk = stock.trunk
        x = trunk.patch_embed(imgs.flatten(0, 1))
        if prefix:
            x = torch.cat([trunk.cls_token.expand(len(x), -1, -1), x], dim=1)
        return trunk.norm_pre(x + trunk.pos_embed)

    def halves(block):
        def attention(x, angles=None):
            if name == 'EVA02-E-14':
                return block.norm1(block.attn(x))
            if angles is not None:
                return rotary_attention(block.attn, block.norm1(x), angles)
            return getattr(block, 'ls1', nn.Identity())(block.attn(block.norm1(x)))

        def mlp(x):
            if name == 'EVA02-E-14':
                return block.norm2(block.mlp(x))
            return getattr(block, 'ls2', nn.Identity())(block.mlp(block.norm2(x)))

        return attention, mlp

    config = dict(type='CLIPTimmVisionTower', arch=reduced_arch(name, **arch))
    return Host(
        config,
        lambda: CustomTextCLIP(**{k: v for k, v in copy.deepcopy(
            config['arch']).items() if k != 'custom_text'}).visual,
        blocks=lambda stock: stock.trunk.blocks,
        embed=embed,
        halves=halves,
        pool=lambda stock, x: pool(stock, stock.trunk.norm(x)),
        prefix=prefix,
        random=dict(arch=reduced_arch(name, **arch, timm_drop_path=0.5)),
        rope=rope)


def clip_timm_hosts():
    def class_token(stock, x):
        return stock.trunk.head(x[:, 0])

    def attention(stock, x):
        return stock.trunk.head(stock.trunk.attn_pool(x))

    rope = dict(grid=(2, 2), dims=16)
    return dict(
        siglip=clip_timm_host('ViT-B-16-SigLIP2', attention, prefix=0),
        timm_average=clip_timm_host(
            'vit_medium_patch16_gap_256', lambda stock, x: stock.head.proj(x.mean(1)),
            prefix=0),
        eva02=clip_timm_host(
            'EVA02-B-16', class_token, rope=dict(rope, reference=(16, 16))),
        eva02_post_norm=clip_timm_host('EVA02-E-14', class_token),
        pe_core=clip_timm_host(
            'PE-Core-B-16', attention,
            rope=dict(rope, reference=(14, 14), xy=True, offset=1)))


def mae_host(**options):
    def embed(stock, imgs):
        x = stock.patch_embed(imgs.transpose(1, 2))[0] + stock.pos_embed
        return x.unflatten(1, (-1, 4)).flatten(0, 1)

    def scale(block, number):
        return getattr(block, f'gamma_{number}') if 'init_values' in options else 1

    options = {**MAE, **options}
    return Host(
        dict(type='VideoMAETower', **options),
        lambda: VideoMAE(**options),
        embed=embed,
        halves=lambda block: (
            lambda x: scale(block, 1) * block.attn(block.norm1(x)),
            lambda x: scale(block, 2) * block.mlp(block.norm2(x))),
        pool=lambda stock, x: stock.fc_norm(x.mean(1))
        if stock.fc_norm else stock.norm(x)[:, 0],
        prefix=0,
        joint=True,
        clips=True,
        tubelet=2,
        random=dict(drop_path_rate=0.5))


def timesformer_host(attention_type):
    joint = attention_type == 'joint_space_time'

    def embed(stock, imgs):
        x = torch.stack([stock.patch_embed(frames[:, :, None])
                         for frames in imgs.unbind(1)], dim=1)
        x = x + stock.pos_embed[:, None, 1:]
        if joint:
            return (x + stock.time_embed[:, :, None]).flatten(0, 1)
        token = stock.cls_token + stock.pos_embed[:, :1]
        return torch.cat([token[:, None].expand(*x.shape[:2], 1, -1), x], 2).flatten(
            0, 1)

    def video_token(stock, batch_size):
        return (stock.cls_token + stock.pos_embed[:, :1]).expand(batch_size, -1, -1)

    def init(model):
        """Else the class token's embedding is zero."""
        model.init_weights()
        return model

    options = dict(TIMESFORMER, attention_type=attention_type)
    return Host(
        dict(type='TimeSformerTower', **options),
        lambda: init(TimeSformer(**options)),
        blocks=lambda stock: stock.transformer_layers.layers,
        embed=embed,
        halves=lambda block: (
            lambda x: block.attentions[0](block.norms[0](x)) - block.norms[0](x),
            lambda x: block.ffns[0].layers(block.norms[1](x))),
        pool=lambda stock, x: stock.norm(x)[:, 0],
        prefix=0 if joint else 1,
        joint=joint,
        clips=True,
        video_token=video_token if joint else None)


def mmpretrain_host(**options):
    from mmpretrain.models.backbones import VisionTransformer as MMPretrain

    class Stock(MMPretrain):

        def train(self, mode=True):
            super().train(mode)
            return self  # which theirs does not

        def forward(self, x):
            return super().forward(x)[0]

    options = dict(arch=dict(embed_dims=32, num_layers=3, num_heads=2,
                             feedforward_channels=64),
                   img_size=32, patch_size=16, **options)
    prefix = int(options.get('with_cls_token', True))

    def embed(stock, imgs):
        x = stock.patch_embed(imgs.flatten(0, 1))[0]
        if prefix:
            x = torch.cat([stock.cls_token.expand(len(x), 1, -1), x], dim=1)
        return stock.pre_norm(x + stock.pos_embed)

    def pool(stock, x):
        x = stock.ln1(x)
        return x[:, 0] if prefix else stock.ln2(x.mean(1))

    return Host(
        dict(type='MMPretrainVisionTower', **options),
        lambda: Stock(**copy.deepcopy(options)),
        blocks=lambda stock: stock.layers,
        embed=embed,
        halves=lambda block: (
            lambda x: block.attn(block.ln1(x)),
            lambda x: block.ffn(block.ln2(x), identity=torch.zeros_like(x))),
        pool=pool,
        prefix=prefix,
        random=dict(drop_path_rate=0.5))


HOSTS = dict(
    clip=clip_host(),
    clip_custom_block=clip_host(block_type='custom', scale_attn=True,
                                qk_norm=True),
    timm=timm_host(),
    timm_registers=timm_host(prefix=4, reg_tokens=3, init_values=0.1,
                             no_embed_class=True, pre_norm=True),
    timm_without_class=timm_host(prefix=0, class_token=False,
                                 global_pool='avg'),
    videomae=mae_host(),
    videomae_first_token=mae_host(init_values=0.5, use_mean_pooling=False,
                                  use_learnable_pos_emb=True),
    **clip_timm_hosts(),
    timesformer_space=timesformer_host('space_only'),
    timesformer_joint=timesformer_host('joint_space_time'),
)
if importlib.util.find_spec('mmpretrain') is not None:  # an extra of its own
    HOSTS.update(
        mmpretrain=mmpretrain_host(pre_norm=True, layer_scale_init_value=0.5),
        mmpretrain_mean=mmpretrain_host(
            with_cls_token=False, out_type='avg_featmap'))
