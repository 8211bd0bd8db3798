import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.ops import (
    affinity,
    normalized_laplacian,
    spatial_temporal_locality,
    spectral_clustering,
    spectral_embedding,
)

from ..paths import golden_files, load

FILES = golden_files('spectral_*.npz')


def options_of(data):
    locality = data.get('spg')
    return dict(
        graph=dict(HeatKernel='heat', KNN='knn')[data['graph']],
        sigma=data['sigma'],
        knn=data['knn_k'],
        locality=None if locality is None else torch.from_numpy(locality))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize('dtype, accuracy', [
    (torch.float32, 1e-4), (torch.float64, 1e-6)], ids=['float32', 'float64'])
def test_graph_and_subspace_equal_the_authors(path, dtype, accuracy):
    data = load(path)
    weights = affinity(torch.from_numpy(data['tokens']).to(dtype),
                       **options_of(data))
    np.testing.assert_allclose(weights, data['affinity'], atol=1e-5)
    laplacian = normalized_laplacian(weights)
    np.testing.assert_allclose(laplacian, data['laplacian'], atol=1e-5)
    np.testing.assert_allclose(
        torch.linalg.eigvalsh(laplacian), data['eigenvalues'], atol=1e-5)
    rows = spectral_embedding(weights, data['K'])
    np.testing.assert_allclose(rows @ rows.mT, data['projector'],
                               atol=accuracy)
    np.testing.assert_allclose(rows.norm(dim=-1), data['row_norm'], atol=1e-5)
    assert rows.norm(dim=-1).argmax(dim=1).tolist() == data[
        'first_exact'].tolist()


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_medoids_equal_the_table_of_first_picks(path):
    data = load(path)
    tokens = torch.from_numpy(data['tokens'])
    options = dict(options_of(data), p=data['norm_p'])
    medoids, assignment = spectral_clustering(tokens, data['K'], **options)
    np.testing.assert_array_equal(medoids, data['medoids_first_exact'])
    np.testing.assert_array_equal(assignment, data['assign_first_exact'])
    for first in range(0, tokens.shape[1], 7):
        stable = data['by_first_stable'][:, first]
        got, _ = spectral_clustering(
            tokens, data['K'], first=torch.full((len(tokens), ), first),
            **options)
        np.testing.assert_array_equal(
            got[stable], data['medoids_by_first'][stable, first])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_a_problem_does_not_depend_on_its_neighbours(seed):
    tokens = torch.randn(
        3, 24, 8, generator=torch.Generator().manual_seed(seed))
    whole = spectral_clustering(tokens, 6, sigma='auto')
    alone = [spectral_clustering(t[None], 6, sigma='auto') for t in tokens]
    for k in range(2):
        assert torch.equal(whole[k], torch.cat([a[k] for a in alone]))
    assert (whole[0].diff(dim=1) > 0).all()


def test_planted_clusters_are_found():
    centers = torch.eye(4, 16) * 20
    tokens = centers.repeat_interleave(6, 0)[None] + torch.rand(1, 24, 16)
    _, assignment = spectral_clustering(tokens, 4)
    assert (assignment.view(4, 6) == assignment.view(4, 6)[:, :1]).all()
    assert assignment.unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('tokens', [
    torch.zeros(2, 10, 4), torch.ones(1, 10, 4).bfloat16() * 3e4])
def test_constant_tokens_keep_the_invariants(tokens):
    medoids, assignment = spectral_clustering(tokens, 4, sigma='auto')
    assert (medoids.diff(dim=1) > 0).all()
    own = assignment.gather(1, medoids)
    assert torch.equal(own, torch.arange(4).expand_as(own))


@pytest.mark.parametrize('bad', [torch.nan, torch.inf])
def test_not_finite_tokens_keep_the_invariants(bad):
    tokens = torch.randn(2, 20, 4)
    tokens[0, 3] = bad
    medoids, _ = spectral_clustering(tokens, 6, sigma='auto')
    assert (medoids.diff(dim=1) > 0).all()


def test_auto_sigma_does_not_depend_on_the_scale():
    tokens = torch.randn(2, 30, 8)
    a = affinity(tokens, sigma='auto')
    b = affinity(tokens * 1024, sigma='auto')
    torch.testing.assert_close(a, b)
    median = torch.pdist(tokens[0]).square().median()
    distance = (tokens[0, 3] - tokens[0, 5]).square().sum()
    torch.testing.assert_close(a[0, 3, 5], (-distance / (2 * median)).exp())


def test_a_graph_that_is_the_identity_is_warned_of():
    tokens = torch.randn(2, 10, 64) * 100
    tokens[0, 0] = tokens[0, 1]
    with pytest.warns(UserWarning, match='sigma=2.0 .* of 2 of 2 problems'):
        affinity(tokens)


def test_locality_by_the_definition():
    got = spatial_temporal_locality(
        3, 2, 4, spatial_kernel=3, temporal_kernel=5)
    places = [(t, y, x) for t in range(3) for y in range(2) for x in range(4)]
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            near = (abs(a[0] - b[0]) <= 2 and abs(a[1] - b[1]) <= 1
                    and abs(a[2] - b[2]) <= 1)
            assert got[i, j] == near


@pytest.mark.parametrize('options, message', [
    (dict(graph='full'), "graph must be .* got 'full'"),
    (dict(sigma=0), "positive or 'auto', got 0"),
    (dict(sigma='median'), "positive or 'auto', got 'median'"),
    (dict(graph='knn'), 'knn.* must be a positive integer, got None'),
    (dict(locality=torch.ones(3, 3)), r'locality .* \(10, 10\), got \(3, 3\)'),
    (dict(num_centers=11), 'from 1 to the 10 tokens .* got 11'),
])
def test_bad_options_are_named(options, message):
    options = dict(dict(num_centers=2), **options)
    with pytest.raises(ValueError, match=message):
        spectral_clustering(torch.randn(1, 10, 4), **options)


@pytest.mark.parametrize('options, message', [
    (dict(frames=0), 'frames must be a positive integer, got 0'),
    (dict(spatial_kernel=4), 'spatial_kernel must be odd, got 4'),
    (dict(temporal_kernel=-1), 'temporal_kernel must be a positive integer, got -1'),
])
def test_bad_locality_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        spatial_temporal_locality(
            **dict(dict(frames=2, height=2, width=2), **options))
