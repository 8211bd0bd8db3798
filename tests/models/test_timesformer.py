"""TimeSformer's divided attention, and its features for recognisers."""
import copy

import pytest
import torch
from einops import rearrange
from mmaction.models.backbones import TimeSformer
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTokens

from .hosts import HOSTS, TIMESFORMER
from .test_hosts import CENTERS, NECK

DIVIDED = dict(TIMESFORMER, attention_type='divided_space_time')
MEAN = dict(type='SegmentMeanPooling', before_block=2, num_segments=2)


def build(necks=(), **options):
    tower = MODELS.build(dict(DIVIDED, type='TimeSformerTower', **options,
                              necks=copy.deepcopy(list(necks))))
    for parameter in tower.parameters():  # Temporal attention starts at zero.
        torch.nn.init.normal_(parameter, std=0.3)
    return tower.eval()


def divided_block(block, x, token):
    """A block on patches (B, T, N, C) and the class token (B, 1, C)."""
    time, space = block.attentions
    frames = x.shape[1]

    def attend(part, y):
        y = part.norm(y)
        return part.attn(*[y.transpose(0, 1)] * 3)[0].transpose(0, 1)

    y = attend(time, rearrange(x, 'b t n c -> (b n) t c'))
    x = x + rearrange(time.temporal_fc(y), '(b n) t c -> b t n c', b=len(x))
    y = torch.cat([token[:, None].expand(-1, frames, -1, -1), x], dim=2)
    y = attend(space, y.flatten(0, 1)).unflatten(0, x.shape[:2])
    x, token = x + y[:, :, 1:], token + y[:, :, 0].mean(1, keepdim=True)
    return block.ffns[0](x), block.ffns[0](token)


def encode_by_hand(tower, imgs):
    x = torch.stack([tower.patch_embed(frames[:, :, None])
                     for frames in imgs.unbind(1)], dim=1)
    x = x + tower.pos_embed[:, None, 1:] + tower.time_embed[:, :, None]
    token = (tower.cls_token + tower.pos_embed[:, :1]).expand(len(imgs), -1, -1)
    for number, block in enumerate(tower.transformer_layers.layers, start=1):
        for neck in tower.necks:
            if neck.before_block == number:
                x = neck(VideoTokens.of_parts(x[:, :, :0], x)).patches
        x, token = divided_block(block, x, token)
    return tower.norm(token)[:, 0]


@torch.no_grad()
def test_divided_attention_without_necks_is_the_stock_model(imgs):
    tower, stock = build(), TimeSformer(**DIVIDED).eval()
    assert list(tower.state_dict()) == list(stock.state_dict())
    stock.load_state_dict(tower.state_dict())
    clips = imgs.transpose(1, 2)
    assert torch.equal(tower(clips), stock(clips))
    torch.testing.assert_close(
        tower(clips), encode_by_hand(tower, imgs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('necks', [
    [MEAN], [dict(MEAN, before_block=1)], [dict(type='TemporalShift', before_block=2)],
    [dict(MEAN, num_segments=4), dict(MEAN, before_block=3)]])
def test_divided_attention_with_necks_that_keep_places(necks, imgs):
    tower = build(necks)
    got, expected = tower(imgs.transpose(1, 2)), encode_by_hand(tower, imgs)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    weights = torch.randn_like(got)
    for features in (got, expected):
        tower.zero_grad()
        (features * weights).sum().backward()
        gradients = {n: p.grad for n, p in tower.named_parameters()}
        if features is got:
            first = gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(first[name], gradient, rtol=1e-3, msg=name,
                                   atol=1e-4 * gradient.abs().max().item() + 1e-9)


def test_divided_attention_refuses_necks_that_move_patches():
    with pytest.raises(InputError, match='TokenClustering.*the same place of other'):
        build([NECK])
    layers = dict(type='TransformerLayerSequence', num_layers=3, transformerlayers=dict(
        type='BaseTransformerLayer', batch_first=True, operation_order=('self_attn', ),
        attn_cfgs=dict(type='MultiheadAttention', embed_dims=32, num_heads=2)))
    with pytest.raises(InputError, match='operation_order'):
        build([MEAN], transformer_layers=layers)


@pytest.mark.parametrize('name', ['timesformer_space', 'timesformer_joint'])
@torch.no_grad()
def test_features_for_recognisers(name, imgs):
    """They are of the mean of the segments' class tokens, or of the video's."""
    tower = HOSTS[name].build([dict(NECK, before_block=3)]).eval()
    tower.init_weights()
    tokens = tower.run_blocks(imgs).by_frame
    assert tokens.shape == (3, 2, 4, 32)
    if name == 'timesformer_joint':
        assert torch.equal(tokens[:, 0, 0], tokens[:, 1, 0])
        assert tower.encode(imgs)[0].shape == (3, 1, 32)
    torch.testing.assert_close(
        tower(imgs.transpose(1, 2)), tower.norm(tokens[:, :, 0].mean(1)))


def test_frames_of_another_number(imgs):
    """Joint attention has an embedding of each; of space alone, any go."""
    few = imgs[:, :4].transpose(1, 2)
    with pytest.raises(InputError, match='must have 8 frames, as num_frames .* 4'):
        HOSTS['timesformer_joint'].build()(few)
    tower = HOSTS['timesformer_space'].build().eval()
    torch.testing.assert_close(tower(few)[:1], tower(few[:1]))


def test_embeddings_of_necks_follow_the_positions():
    """Positions are drawn, or read from a file, once the necks are there."""
    for name in ('timesformer_space', 'videomae_first_token'):
        tower = HOSTS[name].build([dict(NECK, **CENTERS, cluster_embed='clip')])
        tower.init_weights()
        assert tower.patch_positions().any()
        assert torch.equal(tower.necks[0].cluster_embed, tower.patch_positions()[:3])
