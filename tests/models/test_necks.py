import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTokens
from mmaction_centerclip.models.necks import reduce_frame_mask
from mmaction_centerclip.ops import kmedoids


def build(**options):
    return MODELS.build(
        dict(
            dict(
                type='TokenClustering',
                before_block=3,
                num_segments=2,
                num_centers=5), **options))


def video_tokens(batch=3, frames=4, patches=6, channels=8, prefix=1):
    return VideoTokens(
        torch.randn(batch, frames, prefix, channels),
        torch.randn(batch, frames, patches, channels))


@pytest.mark.parametrize('prefix', [1, 3])
def test_keeps_the_centers_and_the_mean_class_token(prefix):
    tokens = video_tokens(prefix=prefix)
    neck = build(record=True)
    out = neck(tokens)
    assert out.prefix.shape == (3, 2, prefix, 8)
    assert out.patches.shape == (3, 2, 5, 8)
    for b in range(3):
        for s in range(2):
            frames = slice(2 * s, 2 * s + 2)
            segment = tokens.patches[b, frames].reshape(1, 12, 8)
            medoids, assignment = kmedoids(segment, 5)
            assert torch.equal(out.patches[b, s], segment[0, medoids[0]])
            assert torch.equal(neck.medoids[2 * b + s], medoids[0])
            assert torch.equal(neck.assignment[2 * b + s], assignment[0])
            torch.testing.assert_close(out.prefix[b, s],
                                       tokens.prefix[b, frames].mean(0))


def test_gradient_flows_through_the_kept_tokens_only():
    tokens = video_tokens()
    tokens.patches.requires_grad_()
    neck = build(record=True)
    neck(tokens).patches.sum().backward()
    grad = tokens.patches.grad.reshape(6, 12, 8)[..., 0]
    expected = torch.zeros(6, 12).scatter_(1, neck.medoids, 1)
    assert torch.equal(grad, expected)


def test_records_only_when_asked_to():
    neck = build()
    neck(video_tokens())
    assert not hasattr(neck, 'medoids')


@pytest.mark.parametrize('frames, segments', [
    ([1, 1, 1, 1, 1, 1], [1, 1, 1]),
    ([1, 1, 1, 0, 0, 0], [1, 0, 0]),  # the last frame decides
    ([1, 1, 0, 1, 0, 0], [1, 1, 0]),
    ([1, 0, 0, 0, 0, 0], [1, 0, 0]),  # else no segment would be left
    ([0, 0, 0, 0, 0, 0], [0, 0, 0]),
])
def test_segment_mask(frames, segments):
    mask = reduce_frame_mask(torch.tensor([frames]).bool(), 3)
    assert mask.tolist() == [[bool(s) for s in segments]]


@pytest.mark.parametrize('options, message', [
    (dict(before_block=0), 'before_block must be a positive integer, got 0'),
    (dict(num_segments=1.5), 'num_segments .* got 1.5'),
    (dict(num_centers=-1), 'num_centers .* got -1'),
    (dict(distance='l2'), "distance .* got 'l2'"),
    (dict(p=-1), 'p must be positive, got -1'),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


@pytest.mark.parametrize('options, message', [
    (dict(num_segments=3), 'num_segments must divide .* 3 segments for 4'),
    (dict(num_centers=13), 'num_centers=13.* 12 tokens of a segment'),
])
def test_bad_sizes_are_named_in_the_forward_pass(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)(video_tokens())
