"""Sampling, shifts, masks and averages."""
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import (
    cluster_mean,
    cluster_sum,
    mask_or_all,
    repeated_pairs,
    segment_mask,
    sparse_sampling,
    temporal_shift,
    weighted_mean,
)


@pytest.mark.parametrize('tokens, centers', [(96, 10), (9, 9), (7, 1)])
def test_sparse_sampling_is_uniform_in_evaluation(tokens, centers):
    step = tokens / centers
    expected = [math.floor(step / 2 + step * i) for i in range(centers)]
    if tokens == centers:
        expected = list(range(centers))
    got = sparse_sampling(tokens, centers, 3)
    assert got.tolist() == [expected] * 3


def test_sparse_sampling_is_random_in_training():
    draw = [
        sparse_sampling(50, 9, 4, training=True,
                        generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    assert (draw[0].diff(dim=1) > 0).all()
    assert not torch.equal(draw[0][0], draw[0][1])


def test_temporal_shift_by_the_definition():
    tokens = torch.randn(2, 4, 3, 17)
    got = temporal_shift(tokens)
    for t in range(4):
        after = tokens[:, t + 1] if t < 3 else torch.zeros(2, 3, 17)
        before = tokens[:, t - 1] if t > 0 else torch.zeros(2, 3, 17)
        assert torch.equal(got[:, t, :, :2], after[..., :2])
        assert torch.equal(got[:, t, :, 2:4], before[..., 2:4])
        assert torch.equal(got[:, t, :, 4:], tokens[:, t, :, 4:])


@pytest.mark.parametrize('frames, segments', [
    ([1, 1, 1, 1, 1, 1], [1, 1, 1]),
    ([1, 1, 1, 0, 0, 0], [1, 0, 0]),  # the last frame decides
    ([1, 1, 0, 1, 0, 0], [1, 1, 0]),
    ([1, 0, 0, 0, 0, 0], [1, 0, 0]),  # else no segment would be left
    ([0, 0, 0, 0, 0, 0], [0, 0, 0]),
])
def test_segment_mask(frames, segments):
    mask = segment_mask(torch.tensor([frames]).bool(), 3)
    assert mask.tolist() == [[bool(s) for s in segments]]


def test_weighted_mean_counts_the_frames_of_the_mask():
    tokens = torch.randn(3, 4, 2, 5)
    mask = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    assert mask_or_all(mask).tolist() == [
        [True, False, True, False], [True] * 4, [True] * 4]
    got = weighted_mean(tokens, mask)
    assert got.shape == (3, 1, 2, 5)
    torch.testing.assert_close(got[0, 0], tokens[0, [0, 2]].mean(0))
    torch.testing.assert_close(got[1:], weighted_mean(tokens, None)[1:])


@pytest.mark.parametrize('weighted', [False, True])
def test_cluster_mean(weighted):
    tokens = torch.randn(2, 7, 4, dtype=torch.float64, requires_grad=True)
    assignment = torch.tensor([[0, 1, 1, 2, 0, 0, 1], [2, 1, 0, 0, 0, 0, 0]])
    weights = torch.ones(2, 7).bool()
    if weighted:
        weights[0, [0, 3]] = False  # one of a cluster, all of another
    got = cluster_mean(tokens, assignment, 3, weights if weighted else None)
    for b in range(2):
        for k in range(3):
            members = [i for i in range(7) if assignment[b, i] == k]
            valid = [i for i in members if weights[b, i]] or members
            torch.testing.assert_close(got[b, k], tokens[b, valid].mean(0))
    sums = cluster_sum(tokens[..., 0].detach(), assignment, 3)
    torch.testing.assert_close(sums[0, 2], tokens[0, 3, 0])
    torch.testing.assert_close(sums[1, 0], tokens[1, 2:, 0].sum())
    got.sum().backward()
    assert tokens.grad.isfinite().all()


@pytest.mark.parametrize('call, message', [
    (lambda: sparse_sampling(4, 5), 'from 1 to the 4 tokens, got 5'),
    (lambda: temporal_shift(torch.zeros(1, 2, 3, 4), 1), 'at least 2, got 1'),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


numbers = st.integers(-2, 3)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_pairs_that_share_a_known_number(pairs):
    found = repeated_pairs(torch.tensor(pairs))
    for i, one in enumerate(pairs):
        for j, other in enumerate(pairs):
            assert found[i, j] == (i != j and any(
                a == b >= 0 for a, b in zip(one, other)))
