"""Segments of different numbers of tokens: run lengths, shares, packed tokens."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TimmVisionTower, TokenReducer
from mmaction_centerclip.models.backbones.tower_steps import MLPStep
from mmaction_centerclip.models.video_tokens import VideoTokens

from .hosts import HOSTS, TIMM

NECK = dict(type='RunLengthTokens', num_segments=2, threshold=1e-4)
SHARE = dict(type='NormTokenDrop', before_block=2, num_segments=2, num_centers=0.3)
OPENED = {name: host for name, host in HOSTS.items()
          if (tower := host.build()).open_attention(host.blocks(tower)[0])}
each_host = pytest.mark.parametrize('host', [
    pytest.param(host, id=name) for name, host in OPENED.items()
    if not host.build().pools_patches])


class JoinedFrames(TokenReducer):
    """All tokens of a segment's frames as one frame."""

    def reduce(self, segments):
        return segments.joined_frames()


def partly_still(imgs):
    """Three videos whose halves of frames change in other frames."""
    imgs = imgs.clone()
    imgs[0, 1:3] = imgs[0, :1]
    imgs[0, 4:] = imgs[0, 4:5]
    imgs[1, :, :, :16] = imgs[1, :1, :, :16]
    return imgs


@each_host
def test_what_does_not_change_is_as_if_it_were_there(host, imgs):
    imgs = partly_still(imgs)
    tower = host.build([NECK]).eval()
    joined = host.build([dict(type=JoinedFrames, before_block=1, num_segments=2)])
    joined.load_state_dict(tower.state_dict())
    got, _ = tower.encode(imgs)
    expected, _ = joined.eval().encode(imgs)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    for video in (0, 1):  # Of fewer tokens; the batch pads them.
        alone, _ = tower.encode(imgs[video][None])
        torch.testing.assert_close(alone[0], expected[video], rtol=1e-4, atol=1e-5)
    tokens = tower.run_blocks(imgs[:1]).x
    assert tokens.shape[1] == host.prefix + 2 * 4
    got.square().sum().backward()
    expected.square().sum().backward()
    grads = [(a.grad, b.grad) for a, b in zip(tower.parameters(), joined.parameters())
             if a.grad is not None]
    largest = max(b.abs().max() for _, b in grads).item()
    for a, b in grads:
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * largest)


@pytest.mark.parametrize('neck', [NECK, SHARE], ids=['run_lengths', 'share'])
@pytest.mark.parametrize('host', [pytest.param(host, id=name)
                                  for name, host in OPENED.items()])
def test_packed_is_as_padded_and_a_video_as_alone(host, neck, imgs):
    neck = dict(neck, num_segments=1 if host.joint else 2)
    imgs = partly_still(imgs).double()
    packed = host.build([neck]).double().eval()
    padded = host.build([neck]).double().eval()
    padded.load_state_dict(packed.state_dict())
    padded.necks[0].packed = False
    results = []
    for tower in (packed, padded):
        features, _ = tower.encode(imgs)
        features.square().sum().backward()
        results.append([features, *(p.grad for p in tower.parameters())])
    scale = max(x.abs().max() for x in results[1][1:] if x is not None).item()
    for a, b in zip(*results):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12 * scale)
    with torch.no_grad():
        for tower, (features, *_) in zip((packed, padded), results):
            for video in range(3):
                alone, _ = tower.encode(imgs[video][None])
                torch.testing.assert_close(alone[0], features[video], rtol=0,
                                           atol=1e-12)
        lengths = packed.run_blocks(imgs).size.count_nonzero(dim=-1)
    if neck['type'] == 'NormTokenDrop':  # of 32 patches, or of the 16 of tubelets
        assert lengths.sum(1).tolist() == [5 if host.joint else 10] * 3
    elif not host.joint:
        assert lengths.tolist() == [[8, 4], [10, 10], [16, 16]]
    else:  # of frames two by two; positions in time are not compared
        assert lengths.tolist() == [[12], [10], [16]]


@torch.no_grad()
def test_where_nothing_is_dropped_it_is_no_neck(imgs):
    tower = HOSTS['clip'].build([dict(NECK, num_segments=8)]).eval()
    got, _ = tower.encode(imgs)
    tower.attach([])
    assert torch.equal(got, tower.encode(imgs)[0])


@torch.no_grad()
def test_nothing_is_computed_of_padding(imgs):
    tower = HOSTS['timm'].build([NECK]).eval()
    seen = {}
    for name, module in tower.blocks[1].named_children():
        module.register_forward_hook(
            lambda _, args, out, name=name: seen.setdefault(name, []).append(
                tuple(out.shape[:2])))
    tower.encode(partly_still(imgs))
    rows = [1 + kept for kept in (8, 4, 10, 10, 16, 16)]
    assert seen['attn'] == [(1, length) for length in rows]
    assert seen['mlp'] == [(1, sum(rows))]


def test_paths_are_dropped_row_by_row(imgs):
    tower = HOSTS['timm'].build([NECK], drop_path_rate=0.5).train()
    tokens = tower.necks[0](tower.embed(partly_still(imgs))).packed()
    out = tokens.replace(x=MLPStep(tower, 3)(tokens).x)
    same = [torch.equal(a.x, b.x) for a, b in zip(tokens.rows(), out.rows())]
    assert len(same) == 6 and True in same and False in same


@given(st.lists(st.lists(st.integers(1, 3), max_size=4), min_size=2, max_size=6),
       st.integers(0, 2))
@settings(deadline=None)
def test_packing_and_padding_lose_nothing(sizes, prefix):
    sizes = sizes[:len(sizes) // 2 * 2]  # of two videos
    longest = max(map(len, sizes))
    size = torch.tensor([row + [0] * (longest - len(row)) for row in sizes]).long()
    size = size.view(2, len(sizes) // 2, longest)
    real = torch.nn.functional.pad(size.flatten(0, 1), (prefix, 0), value=1) > 0
    tokens = VideoTokens(
        torch.randn(*real.shape, 3) * real[..., None], 2, prefix,
        positions=torch.randint(9, size.shape) * (size > 0), size=size)
    packed = tokens.packed()
    if size.all():
        assert packed is tokens
        return
    assert packed.lengths == tuple(prefix + len(row) for row in sizes)
    assert torch.equal(packed.x[0], tokens.x[real])
    assert [row.size.flatten().tolist() for row in packed.rows()] == sizes
    padded = packed.padded()
    for name in ('x', 'positions', 'size'):
        assert torch.equal(getattr(padded, name), getattr(tokens, name))
    with pytest.raises(RuntimeError, match='use padded'):
        packed.prefix.sum()


@torch.no_grad()
def test_sizes_and_positions_say_what_was_kept(imgs):
    tower = HOSTS['timm'].build([NECK]).eval()
    seen = []
    tower.necks[0].register_forward_hook(lambda *args: seen.append(args[2]))
    tower.encode(partly_still(imgs))
    out = seen[0]
    # Video 0: frames 0 and 3, then 4; video 2 changes in all frames.
    assert out.size.shape == (3, 2, 16)
    assert out.size[0].tolist() == [[3] * 4 + [1] * 4 + [0] * 8, [4] * 4 + [0] * 12]
    assert out.positions[0, 0, :8].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert (out.size[2] == 1).all()
    assert out.size[1, 0].tolist() == [4] * 2 + [1] * 8 + [0] * 6
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]]).bool()
    padded = HOSTS['timm'].build([dict(NECK, exclude_padding=True)]).eval()
    padded.load_state_dict(tower.state_dict())
    padded.necks[0].register_forward_hook(lambda *args: seen.append(args[2]))
    padded.encode(imgs[2:], mask)
    assert seen[1].size.sum(-1).tolist() == [[16, 4]]
    assert seen[1].frame_mask.tolist() == [[True, True]]


def test_bad_options_and_hosts_are_named(imgs):
    class Unopened(TimmVisionTower):
        def open_attention(self, block):
            return None

    for tower, necks, options, message in (
            (TimmVisionTower, [dict(NECK, threshold=-1)], {}, 'threshold .* got -1'),
            (TimmVisionTower, [NECK, dict(NECK, before_block=2)], {},
             'must be the only neck, got 2'),
            (TimmVisionTower, [dict(SHARE, num_centers=1.0)], {},
             'a positive integer, or a share below 1, got 1.0'),
            (TimmVisionTower, [dict(SHARE, cluster_embed='zeros')], {},
             'num_centers=0.3.*: cluster_embed needs a number of num_centers'),
            (Unopened, [NECK], {}, 'a bias .* Unopened does not give of Block$')):
        with pytest.raises(InputError, match=message):
            tower(necks, **{**TIMM, **options})
    with pytest.raises(InputError, match='num_segments must be 1, .* got 2'):
        HOSTS['videomae'].build([NECK])
    with pytest.raises(InputError, match='num_segments must divide'):
        HOSTS['timm'].build([dict(NECK, num_segments=3)]).encode(imgs)
