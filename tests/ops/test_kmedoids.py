import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from mmaction_centerclip.ops import (
    kkz_init,
    kmedoids,
    pairwise_distances,
    unit_normalize,
)

from ..paths import golden_files, load
from ..reference import kmedoids as reference
from ..reference.published_kmedoids import published_kmedoids

FILES = golden_files('kmedoids_*.npz')
PROPERTY = settings(max_examples=40, deadline=None)


def options_of(data):
    return dict(
        distance=data['distance'],
        p=data['norm_p'],
        pre_norm=bool(data['pre_norm']),
        max_iters=data['iter_limit'],
        tol=data['threshold'])


def picks_of(data, dtype):
    tokens = torch.from_numpy(data['tokens']).to(dtype)
    if data['pre_norm']:
        tokens = unit_normalize(tokens)
    distances = pairwise_distances(tokens, data['distance'], data['norm_p'])
    norms = np.linalg.norm(data['tokens'].astype(np.float64), axis=-1)
    return kkz_init(distances, data['K'], torch.from_numpy(norms.argmax(1)))


def cost_of(data, medoids):
    tokens = torch.from_numpy(data['tokens']).double()
    if data['pre_norm']:
        tokens = unit_normalize(tokens)
    distances = pairwise_distances(tokens, data['distance'], data['norm_p'])
    to_medoids = distances.gather(
        1, medoids[..., None].expand(-1, -1, distances.shape[-1]))
    return to_medoids.amin(dim=1).sum(dim=-1).numpy()


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=str)
def test_equals_the_authors(path, dtype):
    data = load(path)
    tokens = torch.from_numpy(data['tokens'])
    medoids, assignment = kmedoids(
        tokens, data['K'], dtype=dtype, **options_of(data))
    np.testing.assert_allclose(
        cost_of(data, medoids), data['cost'], rtol=1e-4)
    assert torch.equal(picks_of(data, dtype)[:, 0],
                       torch.from_numpy(data['init'][:, 0]).long())
    if data['kind'] == 'strict' or dtype == torch.float64:
        np.testing.assert_array_equal(medoids, data['medoids'])
        np.testing.assert_array_equal(assignment, data['assign'])
        np.testing.assert_array_equal(picks_of(data, dtype), data['init'])


@PROPERTY
@given(
    seed=st.integers(0, 2**20),
    count=st.integers(1, 14),
    share=st.floats(0, 1),
    distance=st.sampled_from(['euclidean', 'cosine']),
    p=st.sampled_from([1.0, 2.0, 3.0]),
    pre_norm=st.booleans(),
    max_iters=st.integers(0, 5))
def test_equals_the_slow_oracle(seed, count, share, distance, p, pre_norm,
                                max_iters):
    tokens = np.random.default_rng(seed).normal(size=(2, count, 5))
    num_centers = 1 + round(share * (count - 1))
    medoids, assignment = kmedoids(
        torch.from_numpy(tokens),
        num_centers,
        distance=distance,
        p=p,
        pre_norm=pre_norm,
        max_iters=max_iters,
        first=torch.tensor([0, count - 1]),
        dtype=torch.float64)
    for b, first in enumerate((0, count - 1)):
        expected = reference.kmedoids(tokens[b], num_centers, distance, p,
                                      pre_norm, max_iters, first)
        assert medoids[b].tolist() == expected[0]
        assert assignment[b].tolist() == expected[1]


# Small integers: duplicated, constant and all-zero tokens are common.
@PROPERTY
@given(
    tokens=arrays(np.float32, st.tuples(
        st.integers(1, 3), st.integers(1, 12), st.integers(1, 3)),
        elements=st.integers(-2, 2).map(float)),
    data=st.data())
def test_medoids_are_distinct_ascending_and_own_themselves(tokens, data):
    num_centers = data.draw(st.integers(1, tokens.shape[1]))
    medoids, assignment = kmedoids(torch.from_numpy(tokens), num_centers)
    assert medoids.shape == (len(tokens), num_centers)
    assert assignment.shape == tokens.shape[:2]
    assert medoids.dtype == assignment.dtype == torch.int64
    assert (medoids.diff(dim=1) > 0).all()
    assert ((assignment >= 0) & (assignment < num_centers)).all()
    own = assignment.gather(1, medoids)
    assert torch.equal(own, torch.arange(num_centers).expand_as(own))


@PROPERTY
@given(seed=st.integers(0, 2**20), scale=st.sampled_from([2**-6, 8, 2**10]))
def test_neighbours_order_and_scale_do_not_matter(seed, scale):
    tokens = torch.randn(
        6, 40, 16, generator=torch.Generator().manual_seed(seed))
    whole = kmedoids(tokens, 13)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = kmedoids(tokens[order], 13)
    alone = [kmedoids(tokens[i:i + 1], 13) for i in range(6)]
    scaled = kmedoids(tokens * scale, 13)
    for k in range(2):
        assert torch.equal(whole[k][order], permuted[k])
        assert torch.equal(whole[k], torch.cat([one[k] for one in alone]))
        assert torch.equal(whole[k], scaled[k])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_clustered_in_float32(dtype):
    tokens = (torch.randn(2, 98, 64) * 6e4).clamp(-6e4, 6e4).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = kmedoids(tokens, 49)
    full = kmedoids(tokens.float(), 49)
    assert torch.equal(half[0], full[0]) and torch.equal(half[1], full[1])
    distances = pairwise_distances(tokens.float())
    assert distances.isfinite().all()


@pytest.mark.parametrize('scale', [0.5, 3.0])
def test_unit_tokens_start_from_the_largest_raw_norm(scale):
    tokens = torch.randn(8, 98, 64) * 30
    exact = kmedoids(tokens, 49, pre_norm=True, dtype=torch.float64)
    for got in (kmedoids(tokens, 49, pre_norm=True),
                kmedoids(tokens * scale, 49, pre_norm=True)):
        assert (got[0] == exact[0]).all(dim=1).float().mean() > 0.8


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
def test_distances_keep_their_precision_under_autocast(dtype):
    tokens = (torch.randn(1, 30, 8) * 1e4).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = pairwise_distances(tokens)
    assert got.dtype == torch.float32
    torch.testing.assert_close(
        got.double(), pairwise_distances(tokens.double()), rtol=1e-4, atol=0.1)


def test_looking_less_often_changes_nothing(monkeypatch):
    tokens = torch.randn(5, 98, 16)
    expected = kmedoids(tokens, 20)
    module = sys.modules['mmaction_centerclip.ops.distances']
    monkeypatch.setitem(module._CHECK_EVERY, 'cpu', 8)
    for got in (kmedoids(tokens, 20), kmedoids(tokens, 20, max_iters=9)):
        assert torch.equal(got[0], expected[0])
        assert torch.equal(got[1], expected[1])


def test_two_member_clusters_tie_to_the_lower_index():
    # The matrix product's self-distances are not zero; ours must be.
    tokens = torch.randn(4, 98, 64) + 30
    distances = pairwise_distances(tokens)
    assert torch.equal(distances, distances.mT)
    assert (distances.diagonal(dim1=1, dim2=2) == 0).all()
    medoids, assignment = kmedoids(tokens, 49)
    for b in range(4):
        for k, medoid in enumerate(medoids[b].tolist()):
            members = (assignment[b] == k).nonzero().flatten().tolist()
            assert len(members) != 2 or medoid == members[0]


def test_not_finite_tokens_keep_the_invariants():
    tokens = torch.randn(2, 20, 4)
    tokens[0, 3], tokens[1] = torch.nan, torch.inf
    medoids, assignment = kmedoids(tokens, 8)
    assert (medoids.diff(dim=1) > 0).all()
    assert ((assignment >= 0) & (assignment < 8)).all()


def test_an_empty_batch_is_an_empty_result():
    medoids, assignment = kmedoids(torch.empty(0, 10, 4), 3)
    assert medoids.shape == (0, 3) and assignment.shape == (0, 10)


def test_no_gradient_is_recorded():
    tokens = torch.randn(1, 10, 4, requires_grad=True)
    assert not kmedoids(tokens, 3)[0].requires_grad


@pytest.mark.parametrize('tokens, num_centers, options, message', [
    (torch.zeros(1, 4, 2), 5, {}, 'from 1 to the 4 tokens .* got 5'),
    (torch.zeros(1, 4, 2), 0, {}, 'from 1 to the 4 tokens .* got 0'),
    (torch.zeros(4, 2), 1, {}, r'\(B, N, C\), got .* \(4, 2\)'),
    (torch.zeros(1, 4, 2).int(), 1, {}, 'floating point .* got torch.int32'),
    (torch.zeros(1, 4, 2), 2, dict(distance='l2'), "got 'l2'"),
    (torch.zeros(1, 4, 2), 2, dict(p=0), 'p must be positive, got 0'),
    (torch.zeros(1, 4, 2), 2, dict(max_iters=-1), 'max_iters .* got -1'),
])
def test_bad_input_is_named(tokens, num_centers, options, message):
    with pytest.raises(ValueError, match=message):
        kmedoids(tokens, num_centers, **options)


@PROPERTY
@given(seed=st.integers(0, 2**20), count=st.integers(4, 20))
def test_padding_counts_in_no_sum(seed, count):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(1, 24, 8, generator=generator)
    valid = torch.arange(24)[None] < count
    medoids, assignment = kmedoids(tokens, 4, valid=valid)
    alone = kmedoids(tokens[:, :count], 4)
    assert torch.equal(medoids, alone[0])
    assert torch.equal(assignment[:, :count], alone[1])


def test_padding_fills_up_where_too_few_tokens_are_valid():
    valid = torch.tensor([[False, True, False, True, False]])
    medoids, assignment = kmedoids(torch.randn(1, 5, 3), 4, valid=valid)
    assert {1, 3} <= set(medoids[0].tolist())
    assert (medoids.diff(dim=1) > 0).all() and assignment.max() == 3


def test_equals_the_published_algorithm_written_plainly():
    tokens = torch.randn(3, 40, 16)
    # No cluster of two, whose medoid is a tie that rounding decides.
    for num_centers in (1, 2, 4):
        medoids, _ = kmedoids(tokens, num_centers)
        assert torch.equal(medoids, published_kmedoids(tokens, num_centers))
