"""Run-length tokens in hosts: nothing is lost of what does not change."""
import pytest
import torch

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TimmVisionTower, TokenReducer

from .hosts import HOSTS, TIMM

NECK = dict(type='RunLengthTokens', num_segments=2, threshold=1e-4)
each_host = pytest.mark.parametrize('host', [
    pytest.param(host, id=name) for name, host in HOSTS.items()
    if (tower := host.build()).open_attention(host.blocks(tower)[0])
    and not tower.pools_patches])


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
            (TimmVisionTower, [NECK], dict(global_pool='avg'),
             'TimmVisionTower would pool; it must pool a class token'),
            (Unopened, [NECK], {}, 'a bias .* Unopened does not give of Block$')):
        with pytest.raises(InputError, match=message):
            tower(necks, **{**TIMM, **options})
    with pytest.raises(InputError, match='num_segments must divide'):
        HOSTS['timm'].build([dict(NECK, num_segments=3)]).encode(imgs)
