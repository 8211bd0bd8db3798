"""UniFormerV2, whose global blocks read the grid of tokens on the way."""
import copy

import pytest
import torch
from mmaction.models.backbones import UniFormerV2
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTokens

SIZES = dict(
    input_resolution=32, patch_size=16, width=32, layers=3, heads=2, t_size=8,
    return_list=[0, 1], n_layers=2, n_dim=32, n_head=2, mlp_dropout=[0.5, 0.5],
    clip_pretrained=False)
CENTERS = dict(
    type='TokenClustering', before_block=3, num_segments=2, num_centers=3)
MEAN = dict(type='SegmentMeanPooling', before_block=2, num_segments=2)
LOCAL = dict(no_lmhra=False, double_lmhra=True)
each_kind = pytest.mark.parametrize('options', [
    {}, LOCAL, dict(temporal_downsample=True), dict(return_list=[0, 2])],
    ids=['plain', 'local', 'downsample', 'last'])


def build(necks=(), **options):
    """A tower whose global blocks, which start at zero, do something."""
    tower = MODELS.build(dict(SIZES, type='UniFormerV2Tower', **options,
                              necks=copy.deepcopy(list(necks))))
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return tower.eval()


def build_stock(tower, **options):
    stock = UniFormerV2(**{**SIZES, **options}).eval()
    own = tower.state_dict()
    stock.load_state_dict({k: own[k] for k in stock.state_dict()})
    return stock


@each_kind
@torch.no_grad()
def test_without_necks_it_is_the_stock_model(options, imgs):
    tower = build(**options)
    stock = build_stock(tower, **options)
    assert list(tower.state_dict()) == list(stock.state_dict())
    for layout in (torch.channels_last_3d, torch.contiguous_format):
        clips = imgs.transpose(1, 2).contiguous(memory_format=layout)
        assert torch.equal(tower(clips), stock(clips))
    mask = torch.arange(8) < torch.tensor([[8], [5], [2]])
    features, mask = tower.encode(imgs, mask)
    assert torch.equal(features[:, 0], stock(clips))
    assert mask.tolist() == [[True]] * 3
    assert tower.encode(imgs)[1] is None


def encode_by_hand(stock, necks, imgs):
    """Run the blocks one by one; the global ones frame by frame."""
    batch_size, reading = len(imgs), stock.transformer
    x = stock.conv1(imgs.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)
    token = stock.class_embedding.expand(*x.shape[:2], 1, -1)
    x = stock.ln_pre(torch.cat([token, x], dim=2) + stock.positional_embedding)
    token, readers = reading.temporal_cls_token.expand(1, batch_size, -1), 0
    for number, block in enumerate(reading.resblocks, start=1):
        for neck in necks:
            if neck.before_block == number:
                x = neck(VideoTokens.of_parts(x[:, :, :1], x[:, :, 1:])).by_frame
        frames = x.shape[1]
        x = torch.cat([block(video.transpose(0, 1), frames).transpose(0, 1)[None]
                       for video in x])
        if number - 1 in reading.return_list:
            grid = x[:, :, 1:].unflatten(2, (2, 2)).permute(0, 4, 1, 2, 3)
            around = reading.dpe[readers](grid).permute(0, 2, 3, 4, 1).flatten(2, 3)
            read = torch.cat([x[:, :, :1], x[:, :, 1:] + around], dim=2)
            token = reading.dec[readers](token, read.flatten(1, 2).transpose(0, 1))
            readers += 1
    share = reading.balance.sigmoid()
    return reading.norm((1 - share) * token[0] + share * x[:, :, 0].mean(1))


@pytest.mark.parametrize('necks, options', [
    ([CENTERS], {}), ([MEAN], {}), ([MEAN, CENTERS], {}), ([MEAN], LOCAL),
    ([dict(MEAN, before_block=1)], dict(return_list=[0, 2])),
    ([dict(type='TemporalShift', before_block=1), CENTERS], {})])
def test_with_necks_it_is_the_blocks_run_by_hand(necks, options, imgs):
    tower = build(necks, **options)
    stock = build_stock(tower, **options)
    got = tower(imgs.transpose(1, 2))
    expected = encode_by_hand(stock, tower.necks, imgs)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    weights = torch.randn_like(got)
    (got * weights).sum().backward()
    (expected * weights).sum().backward()
    gradients = dict(stock.named_parameters())
    for name, parameter in tower.named_parameters():
        if name in gradients:
            expected = gradients[name].grad
            torch.testing.assert_close(
                parameter.grad, expected, rtol=1e-3, msg=name,
                atol=1e-4 * expected.abs().max().item() + 1e-9)


@torch.no_grad()
def test_segments_of_padding_are_read_by_nothing(imgs):
    tower = build([dict(MEAN, before_block=1, adaptive_segments=True,
                        num_segments=4)], **LOCAL)
    mask = (torch.arange(8) < 2).expand(3, -1)
    features, _ = tower.encode(imgs, mask)
    other, _ = tower.encode(torch.cat([imgs[:, :2], -imgs[:, 2:]], dim=1), mask)
    torch.testing.assert_close(other, features)
    assert not torch.allclose(tower.encode(imgs)[0], features)


def test_necks_in_front_of_a_reading_block_are_refused():
    for neck in (CENTERS, dict(CENTERS, before_block=1)):
        with pytest.raises(InputError, match='full grid .* behind the blocks .*3'):
            build([neck], return_list=[0, 2])
    with pytest.raises(InputError, match='convolve the full grid'):
        build([CENTERS], **LOCAL)
    with pytest.raises(InputError, match='between attention and MLP'):
        build([dict(type='TokenShift', before_block=1)])


def test_frames_of_another_number_are_refused(imgs):
    with pytest.raises(InputError, match='must have 8 frames, as t_size .* got 4'):
        build()(imgs[:, :4].transpose(1, 2))


def test_freezing_and_checkpointing(imgs):
    tower = build([CENTERS])
    tower.freeze(3)
    trained = {n for n, p in tower.named_parameters() if p.requires_grad}
    assert trained == {
        n for n, _ in tower.named_parameters()
        if n.startswith(('transformer.d', 'transformer.norm', 'transformer.balance',
                         'transformer.temporal'))}
    tower.freeze(-1)
    tower = build([CENTERS], mlp_dropout=[0, 0]).train()
    other = copy.deepcopy(tower)
    other.set_grad_checkpointing()
    for model in (tower, other):
        model(imgs.transpose(1, 2)).sum().backward()
    for a, b in zip(tower.parameters(), other.parameters()):
        torch.testing.assert_close(a.grad, b.grad)
