import warnings

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
from mmaction_centerclip.ops.subspace import (
    chebyshev_subspace,
    lowest_eigenvalue_bound,
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


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_products_find_the_subspace_of_eigh(path):
    data = load(path)
    if data['norm_p'] != 2:
        pytest.skip('its distances depend on the basis')
    tokens = torch.from_numpy(data['tokens'])
    weights = affinity(tokens.double(), **options_of(data))
    exact = spectral_embedding(weights, data['K'], solver='eigh')
    rows = spectral_embedding(weights, data['K'], solver='chebyshev')
    torch.testing.assert_close(rows.mT @ rows,
                               torch.eye(data['K']).expand(len(rows), -1, -1).double())
    torch.testing.assert_close(
        rows @ rows.mT, exact @ exact.mT, rtol=0, atol=1e-8)
    options = dict(options_of(data), num_centers=data['K'])
    for a, b in zip(spectral_clustering(tokens, solver='chebyshev', **options),
                    spectral_clustering(tokens, solver='eigh', **options)):
        assert torch.equal(a, b)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**20), count=st.integers(1, 40), data=st.data(),
    blocks=st.integers(1, 4))
def test_products_meet_an_invariant_subspace(seed, count, data, blocks):
    # Graphs of several components have multiple eigenvalues, so that there is
    # no gap, and no one subspace, where K falls among them.
    generator = torch.Generator().manual_seed(seed)
    num_vectors = data.draw(st.integers(1, count))
    weights = torch.rand(
        2, count, count, generator=generator, dtype=torch.float64)
    component = torch.arange(count) % blocks
    weights *= component[:, None] == component
    weights = (weights + weights.mT) / 2 + torch.eye(count)
    rows = spectral_embedding(weights, num_vectors, solver='chebyshev')
    laplacian = normalized_laplacian(weights)
    residual = laplacian @ rows - rows @ (rows.mT @ laplacian @ rows)
    assert residual.abs().max() < 1e-8
    values = torch.linalg.eigvalsh(laplacian)[:, :num_vectors]
    torch.testing.assert_close(
        torch.linalg.eigvalsh(rows.mT @ laplacian @ rows), values,
        rtol=0, atol=1e-8)


@pytest.mark.parametrize('scale', [0.03, 0.1, 0.3, 0.55, 1.0])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_products_converge_from_dense_graphs_to_the_identity(scale, dtype):
    tokens = torch.randn(2, 98, 64) * scale
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # sigma is far too small for the last
        weights = affinity(tokens.to(dtype), sigma=1.0)
    similarity = torch.eye(98) - normalized_laplacian(weights).double()
    similarity = (similarity + similarity.mT) / 2
    bound = lowest_eigenvalue_bound(similarity)
    values = torch.linalg.eigvalsh(similarity)
    assert (bound <= values[:, 0] + 1e-12).all()
    # The identity's spectrum is as wide as the rounding, 1e-13.
    width = values[:, -1] - values[:, 0]
    assert (bound >= values[:, 0] - 0.2 * width - 1e-12).all()
    vectors, converged = chebyshev_subspace(similarity, 24)
    assert converged.all()
    if scale <= 0.3:  # Beyond, the gaps are near the rounding.
        alone = torch.cat(
            [chebyshev_subspace(s[None], 24)[0] for s in similarity])
        torch.testing.assert_close(vectors @ vectors.mT, alone @ alone.mT,
                                   rtol=0, atol=1e-5)
    torch.testing.assert_close(
        vectors.mT @ vectors, torch.eye(24).double().expand(2, -1, -1))


def test_what_products_cannot_separate_is_left_to_eigh(monkeypatch):
    from mmaction_centerclip.ops import spectral
    calls = []

    def give_up_on_the_second(matrices, num_vectors):
        calls.append(len(matrices))
        return matrices[..., :num_vectors] * torch.nan, torch.tensor([True, False])

    monkeypatch.setattr(spectral, 'chebyshev_subspace', give_up_on_the_second)
    weights = affinity(torch.randn(2, 12, 4).double(), sigma='auto')
    rows = spectral_embedding(weights, 3, solver='chebyshev')
    assert calls == [2] and rows[0].isnan().all()
    torch.testing.assert_close(
        rows[1], spectral_embedding(weights, 3, solver='eigh')[1])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), chunk_size=st.sampled_from([1, 2, None]))
def test_a_problem_does_not_depend_on_its_neighbours(seed, chunk_size):
    tokens = torch.randn(
        3, 24, 8, generator=torch.Generator().manual_seed(seed))
    whole = spectral_clustering(tokens, 6, sigma='auto', chunk_size=chunk_size)
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
    (dict(solver='lobpcg'), "solver must be .* got 'lobpcg'"),
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
