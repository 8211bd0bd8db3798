"""Bipartite matching against the slow oracle."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import (
    alternate,
    bipartite_matching,
    cluster_mean,
    fuse_rest,
    fused,
    match_runs,
    merge,
    saliency,
)

from ..reference import token_merging as reference


def tokens_of(seed, batch, count, channels=4, grid=False):
    """Random tokens; on a grid many of them are equal."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, count, channels, generator=generator,
                         dtype=torch.float64)
    return tokens.round() if grid else tokens


@given(st.integers(0, 999), st.integers(2, 14), st.booleans(), st.data())
@settings(deadline=None)
def test_matching_is_the_papers(seed, count, first, data):
    sources, destinations = alternate(count, first)
    num_merges = data.draw(st.integers(0, len(sources)))
    metric = tokens_of(seed, 2, count)
    kept, assignment = bipartite_matching(metric, num_merges, sources, destinations)
    for b in range(2):
        expected = reference.bipartite(metric[b], num_merges,
                                       [i in sources for i in range(count)])
        assert (kept[b].tolist(), assignment[b].tolist()) == expected


@given(st.integers(0, 999), st.integers(2, 14), st.booleans(), st.data())
@settings(deadline=None)
def test_merging_loses_nothing(seed, count, grid, data):
    """Equal tokens are merged too; their ties go to the lowest index."""
    parts = alternate(count, first=False)
    num_merges = data.draw(st.integers(0, len(parts[0])))
    tokens = tokens_of(seed, 2, count, grid=grid)
    size = (tokens[..., 0].abs() * 9).long() + 1
    kept, assignment = bipartite_matching(tokens, num_merges, *parts)
    assert torch.equal(bipartite_matching(tokens, num_merges, *parts)[0], kept)
    left = count - num_merges
    assert torch.equal(assignment.gather(1, kept), torch.arange(left).expand(2, -1))
    merged, sizes = merge(tokens, assignment, left, size)
    assert torch.equal(sizes.sum(1), size.sum(1)) and sizes.dtype == torch.int64
    torch.testing.assert_close((merged * sizes[..., None]).sum(1),
                               (tokens * size[..., None]).sum(1))


@given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 5), st.booleans(),
       st.data())
@settings(deadline=None)
def test_runs_are_merged_over_time_then_by_pairs(seed, frames, places, sized, data):
    left = data.draw(st.integers(1, frames * places))
    tokens = tokens_of(seed, 2, frames * places).unflatten(1, (frames, places))
    size = (tokens[..., 0].abs() * 9).long() + 1 if sized else None
    kept, assignment = match_runs(tokens, left, size)
    for b in range(2):
        expected = reference.runs(tokens[b], left, None if size is None else size[b])
        assert (kept[b].tolist(), assignment[b].tolist()) == expected
    assert torch.equal(assignment.gather(1, kept), torch.arange(left).expand(2, -1))


def test_what_stands_still_is_merged_first():
    """A half of four frames that do not change costs the half that does nothing."""
    tokens = tokens_of(0, 1, 32).unflatten(1, (4, 8))
    tokens[:, :, :4] = tokens[:, :1, :4]
    _, assignment = match_runs(tokens, 10)
    groups = assignment.view(4, 8)
    assert (groups[:, :4] == groups[0, :4]).all()


@given(st.lists(st.sampled_from([-1., 0, 2, torch.inf]), min_size=1, max_size=9),
       st.data())
def test_the_rest_goes_to_the_last_that_is_kept(scores, data):
    tokens = range(len(scores))
    kept = sorted(data.draw(st.sets(st.sampled_from(tokens), min_size=1)))
    pads = data.draw(st.integers(0, 2))
    got = fuse_rest(torch.tensor([scores]).float(),
                    torch.tensor([kept + [-1] * pads]))
    last = min(kept, key=lambda token: scores[token])
    assert got.tolist() == [[kept.index(token if token in kept else last)
                             for token in tokens]]


@given(st.integers(0, 99), st.integers(1, 5), st.sampled_from([None, 0, 1]))
def test_what_is_fused_is_the_mean_of_its_cluster(seed, count, weighted):
    """With weights too, where all of a cluster may be zero."""
    tokens = tokens_of(seed, 2, 5)
    scores = tokens[..., 0]
    kept = scores.topk(count).indices.sort().values
    assignment = fuse_rest(scores, kept)
    weights = None if weighted is None else weighted * (scores > 0).long()
    got = fused(tokens, tokens.gather(1, kept[..., None].expand(-1, -1, 4)), assignment,
                weights)
    torch.testing.assert_close(got, cluster_mean(tokens, assignment, count, weights))


def test_ties_go_to_the_lowest_index():
    kept, assignment = bipartite_matching(torch.ones(1, 6, 3), 2, *alternate(6, True))
    assert kept.tolist() == [[4, 1, 3, 5]]
    assert assignment.tolist() == [[1, 1, 1, 2, 0, 3]]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_decided_in_float32(dtype):
    tokens = tokens_of(0, 2, 12).to(dtype)
    parts = alternate(12, True)
    with torch.autocast('cpu', torch.bfloat16):
        got = bipartite_matching(tokens, 4, *parts)
    for a, b in zip(got, bipartite_matching(tokens.float(), 4, *parts)):
        assert torch.equal(a, b)


@given(st.integers(0, 999), st.integers(1, 9))
def test_saliency_is_what_is_below_the_mean_entropy(seed, count):
    entropy = tokens_of(seed, 2, count)[..., 0].float()
    got = saliency(entropy)
    for row, values in zip(got.tolist(), entropy.tolist()):
        mean = sum(values) / count
        below = [max(mean - value, 0) for value in values]
        expected = [x / (max(below) or 1) for x in below]
        assert row == pytest.approx(expected, abs=1e-4)
    assert saliency(torch.full((1, 3), 2.)).tolist() == [[0., 0., 0.]]


@pytest.mark.parametrize('call, message', [
    (lambda: bipartite_matching(torch.ones(1, 4, 2), 3, *alternate(4, True)),
     'num_merges must be from 0 to the 2 sources, got 3'),
    (lambda: bipartite_matching(torch.ones(4, 2), 1, *alternate(4, True)),
     r'\(B, N, C\), got'),
    (lambda: bipartite_matching(torch.ones(1, 1, 2), 0, *alternate(1, True)),
     'some of the tokens, and not all, got 1 of 1'),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
