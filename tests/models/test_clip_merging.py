"""TempMe's join of clips against a slow one, alone and in hosts."""
import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TimmVisionTower, VideoTokens

from ..reference.token_merging import join_clips
from .hosts import HOSTS, TIMM

JOIN = dict(type='TemporalTokenMerging', before_block=2, num_segments=4, r=3)


def build(**options):
    return MODELS.build({**JOIN, 'num_segments': 2, 'embed_dims': 8, **options})


@pytest.mark.parametrize('prefix, r, merges', [
    (1, 0.3, 4), (1, 3, 3), (0, 0.25, 3), (3, 0.5, 6), (1, 0, 0), (1, 99, 6)])
@pytest.mark.parametrize('num_clips', [None, 4])
def test_joins_as_the_paper(prefix, r, merges, num_clips):
    neck = build(r=r, num_clips=num_clips)
    if num_clips:
        assert not neck.clip_embed.any()
        torch.nn.init.normal_(neck.clip_embed)
    places = torch.zeros(4, 8) if num_clips is None else neck.clip_embed.detach()
    size = torch.randint(1, 9, (3, 4, 6))
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    tokens = VideoTokens.of_parts(
        torch.randn(3, 4, prefix, 8), torch.randn(3, 4, 6, 8), mask, size=size)
    out = neck(tokens)
    for b in range(3):
        for s in range(2):
            own = slice(2 * s, 2 * s + 2)
            rows, sizes, kept = join_clips(
                tokens.patches[b, own], size[b, own].tolist(), 2 * prefix, merges,
                places[own])
            torch.testing.assert_close(out.patches[b, s], rows)
            assert out.size[b, s].tolist() == sizes
            assert out.positions[b, s].tolist() == [12 * s + i for i in kept]
            torch.testing.assert_close(out.prefix[b, s], (
                tokens.prefix[b, own] + places[own, None]).flatten(0, 1))
    assert torch.equal(out.frame_mask, mask.view(3, 2, 2).any(2))
    if not prefix:
        return
    for joined in (out, build(num_segments=1, r=1)(out)):
        frames = joined.split_prefix(prefix)  # as many as without the neck
        assert torch.equal(frames.frame_mask, mask)
        assert frames.first_frames.tolist() == [[0, 1, 2, 3]] * 3
        torch.testing.assert_close(frames.prefix, tokens.prefix + places[:, None])


@pytest.mark.parametrize('name', ['clip', 'timm_registers', 'eva02'])
@torch.no_grad()
def test_in_a_host_it_is_its_parts_run_by_hand(name, imgs):
    host = HOSTS[name]
    tower = host.build([dict(JOIN, proportional=False)]).eval()
    mask = torch.arange(8) < torch.tensor([[8], [5], [1]])
    features, kept = tower.encode(imgs, mask)
    assert torch.equal(kept, mask)
    first, *rest = host.blocks(tower)
    x, _ = host.run_block(first, host.embed(tower, imgs), None, 3)
    frames = x.unflatten(0, (3, 4, 2))  # (B, S, F, P + N, C)
    rows, positions = [], []
    for clips in frames:
        for s, clip in enumerate(clips):
            patches, _, own = join_clips(
                clip[:, host.prefix:], [[1] * 4] * 2, 2 * host.prefix, 3)
            rows.append(torch.cat([clip[:, :host.prefix].flatten(0, 1), patches]))
            positions.append([8 * s + i for i in own])
    x, positions = torch.stack(rows), torch.tensor(positions).view(3, 4, -1)
    for block in rest:
        x, _ = host.run_block(block, x, None, 3, positions)
    x = x[:, :2 * host.prefix].unflatten(1, (2, -1)).flatten(0, 1)
    expected = host.pool(tower, x).unflatten(0, (3, 8))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('neck', [JOIN, dict(
    type='SaliencyTokenMerging', before_block=2, r=2)], ids=['tempme', 'vidtldr'])
@pytest.mark.parametrize('name', HOSTS)
@torch.no_grad()
def test_every_host_takes_or_refuses_it_by_one_line(name, neck, imgs):
    if name.startswith(('videomae', 'timesformer_joint')):
        neck = dict(neck, num_segments=2)
    try:
        features, _ = HOSTS[name].build([neck]).eval().encode(imgs)
    except InputError as error:
        assert neck['type'] in str(error) and '\n' not in str(error)
    else:
        assert features.isfinite().all()


@pytest.mark.parametrize('necks', [
    [dict(type='TokenMerging', before_block=1, r=1), JOIN,
     dict(type='TokenMerging', before_block=[2, 3], r=0.2)],
    [dict(type='SaliencyTokenMerging', before_block=[1, 2], r=[1, 0.3])],
], ids=['tempme', 'vidtldr'])
@pytest.mark.parametrize('name', ['clip', 'timm', 'videomae'])
def test_a_video_does_not_depend_on_its_batch(name, necks, imgs):
    tower = HOSTS[name].build(necks).eval()
    imgs = torch.cat([imgs, imgs.flip(1), imgs[:1] / 2])
    results = []
    for size in (1, 3, 7):
        tower.zero_grad()
        features = torch.cat([tower.encode(part)[0] for part in imgs.split(size)])
        features.square().sum().backward()
        results.append([features.detach(), *(p.grad.clone() for p in tower.parameters()
                                             if p.grad is not None)])
    for others in results[:2]:
        torch.testing.assert_close(others[0], results[2][0], rtol=0, atol=1e-6)
        for own, other in zip(results[2], others):
            torch.testing.assert_close(
                other, own, rtol=0, atol=1e-5 * own.abs().max().item())


@torch.no_grad()
def test_a_host_without_class_token_has_features_of_clips(imgs):
    host = HOSTS['videomae']  # 4 tubelets
    tower = host.build([dict(JOIN, num_segments=2), dict(
        type='TokenMerging', before_block=[2, 3], r=0.2)]).eval()
    features, kept = tower.encode(imgs, torch.ones(3, 8).bool())
    assert features.shape == (3, 2, 32) and kept.all() and kept.shape == (3, 2)


def test_trains(imgs):
    tower = HOSTS['clip'].build([
        dict(JOIN, num_clips=8),
        dict(type='TokenMerging', before_block=[2, 3], r=0.2)], with_cp=True)
    tower.train().encode(imgs)[0].square().sum().backward()
    grads = {name: p.grad for name, p in tower.named_parameters()}
    assert grads['necks.0.clip_embed'].any(dim=1).all()
    assert all(g is not None and g.isfinite().all() for g in grads.values())


@pytest.mark.parametrize('options, message', [
    (dict(r=1.5), 'TemporalTokenMerging: r must be a whole number, or a share'),
    (dict(r=-1), 'r must .* share below 1, got -1'),
    (dict(num_clips=3), 'num_segments must divide .* got 2 segments for 3 frames'),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


def test_what_cannot_be_right_is_refused(imgs):
    tokens = VideoTokens.of_parts(torch.randn(1, 4, 1, 8), torch.randn(1, 4, 6, 8))
    with pytest.raises(InputError, match='got 3 segments for 4 frames'):
        build(num_segments=3)(tokens)
    with pytest.raises(InputError, match='num_clips=8, got 4 clips'):
        build(num_clips=8)(tokens)
    with pytest.raises(InputError, match='average the class tokens of different fram'):
        HOSTS['timm'].build([JOIN, dict(type='SegmentMeanPooling', before_block=3,
                                        num_segments=2)]).encode(imgs)
    with pytest.raises(InputError, match='TimmVisionTower would pool together'):
        TimmVisionTower([JOIN], **dict(TIMM, global_pool='avg'))
    with pytest.raises(InputError, match='r must be one value, or one for each of'):
        TimmVisionTower([dict(type='TokenMerging', before_block=[1, 2], r=[1])], **TIMM)
