"""Density peaks and bottom-up clustering against slow oracles."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import agglomerative, density_peaks

from ..reference import clusterings as reference

LINKAGES = [('single', 'cosine'), ('complete', 'cosine'), ('average', 'cosine'),
            ('single', 'euclidean'), ('average', 'euclidean'), ('ward', 'euclidean')]
each_op = pytest.mark.parametrize('cluster', [
    lambda tokens, count, valid=None: density_peaks(tokens, count, valid=valid),
    lambda tokens, count, valid=None: agglomerative(tokens, count, valid=valid)],
    ids=['density_peaks', 'agglomerative'])


def random_tokens(seed, count, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, channels, generator=generator, dtype=torch.float64)


def as_lists(result, problem):
    return tuple(x[problem].tolist() for x in result)


@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 6),
       st.sampled_from([None, 0.5]), st.booleans(), st.data())
@settings(deadline=None)
def test_density_peaks_are_the_papers(seed, count, neighbors, scale, masked, data):
    num_centers = data.draw(st.integers(1, count))
    tokens = random_tokens(seed, count)
    valid = None
    if masked:  # At least the centers are valid.
        valid = torch.arange(count) < data.draw(st.integers(num_centers, count))
        valid = valid[torch.randperm(
            count, generator=torch.Generator().manual_seed(seed))].expand(2, -1)
    got = density_peaks(tokens, num_centers, neighbors=neighbors, scale=scale,
                        valid=valid)
    for b in range(2):
        assert as_lists(got, b) == reference.density_peaks(
            tokens[b], num_centers, neighbors, scale or 3**0.5,
            None if valid is None else valid[b].tolist())


@given(st.integers(0, 999), st.integers(1, 9), st.sampled_from(LINKAGES), st.data())
@settings(max_examples=60, deadline=None)
def test_bottom_up_clusters_are_the_papers(seed, count, options, data):
    num_centers = data.draw(st.integers(1, count))
    tokens = random_tokens(seed, count)
    linkage, distance = options
    got = agglomerative(tokens, num_centers, linkage=linkage, distance=distance)
    for b in range(2):
        assert as_lists(got, b) == reference.agglomerative(
            tokens[b], num_centers, linkage, distance)


@each_op
@given(st.integers(0, 999), st.integers(1, 9), st.data())
@settings(max_examples=50, deadline=None)
def test_equal_tokens_and_padding_keep_the_contract(cluster, seed, count, data):
    """Distinct ascending centers, each its own; the valid ones first."""
    num_centers = data.draw(st.integers(1, count))
    tokens = random_tokens(seed, count).round()
    valid = torch.rand(2, count, generator=torch.Generator().manual_seed(seed)) < 0.5
    for mask in (None, valid):
        centers, assignment = cluster(tokens, num_centers, mask)
        assert centers.dtype == assignment.dtype == torch.int64
        assert (centers.diff(dim=1) > 0).all()
        own = torch.arange(num_centers).expand(2, -1)
        assert torch.equal(assignment.gather(1, centers), own)
        assert ((assignment >= 0) & (assignment < num_centers)).all()
        again = cluster(tokens, num_centers, mask)
        assert torch.equal(centers, again[0]) and torch.equal(assignment, again[1])
        if mask is not None:
            kept = mask.gather(1, centers).sum(1)
            assert torch.equal(kept, mask.sum(1).clamp(max=num_centers))


@each_op
def test_padding_changes_nothing(cluster):
    tokens = random_tokens(0, 12)
    valid = torch.ones(2, 12).bool()
    valid[:, 7:] = False
    centers, assignment = cluster(tokens, 4, valid)
    alone = cluster(tokens[:, :7], 4)
    assert torch.equal(centers, alone[0])
    assert torch.equal(assignment[:, :7], alone[1])


@each_op
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_decided_in_float32(cluster, dtype):
    tokens = random_tokens(3, 20).to(dtype).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        got = cluster(tokens, 6)
    for a, b in zip(got, cluster(tokens.float(), 6)):
        assert torch.equal(a, b)


@each_op
def test_overflown_tokens_do_not_break_it(cluster):
    tokens = random_tokens(0, 8)
    tokens[0, 2, 0], tokens[1, 5] = torch.nan, torch.inf
    centers, _ = cluster(tokens, 3)
    assert (centers.diff(dim=1) > 0).all()


def test_copies_of_a_token_are_one_peak():
    tokens = torch.tensor([[[0.], [0], [0], [0], [5], [5.1]]])
    centers, _ = density_peaks(tokens, 2, neighbors=1)
    assert centers.tolist() == [[0, 4]]


def test_large_tokens_have_densities():
    """exp(-d^2) of them is zero in any float; the densest ones are known."""
    tokens = 1e3 * torch.tensor([[[0.], [7], [9], [9.5], [9.8], [20]]])
    centers, _ = density_peaks(tokens, 1, neighbors=2, scale=1.)
    assert centers.tolist() == [[3]]


@pytest.mark.parametrize('call, message', [
    (lambda x: density_peaks(x, 5), 'from 1 to the 4 tokens .* got 5'),
    (lambda x: density_peaks(x, 2, neighbors=0), 'neighbors .* got 0'),
    (lambda x: density_peaks(x, 2, scale=0), 'scale must be positive, got 0'),
    (lambda x: agglomerative(x, 0), 'from 1 to the 4 tokens .* got 0'),
    (lambda x: agglomerative(x, 2, linkage='mean'), "linkage .* got 'mean'"),
    (lambda x: agglomerative(x, 2, distance='l1'), "distance .* got 'l1'"),
    (lambda x: agglomerative(x, 2, linkage='ward'), "'ward' is for .* got 'cosine'"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(torch.ones(1, 4, 2))
