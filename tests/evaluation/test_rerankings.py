import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mmaction_centerclip.evaluation import dual_softmax, qb_norm

cosines = st.integers(-100, 100).map(lambda value: value / 100)


def matrices(rows, columns):
    row = st.lists(cosines, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


def slow_dual_softmax(similarity, temperature):
    """The softmax over the texts, times the similarity."""
    result = [row[:] for row in similarity]
    for t, row in enumerate(similarity):
        for v, value in enumerate(row):
            total = sum(math.exp(temperature * other[v])
                        for other in similarity)
            result[t][v] = value * math.exp(temperature * value) / total
    return result


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


def transposed(rows):
    return [list(column) for column in zip(*rows)]


def slow_qb_norm(similarity, bank, beta, top):
    """The paper's formula, without the logarithm."""
    active = set()
    for row in bank:
        threshold = sorted(row, reverse=True)[top - 1]
        active |= {g for g, value in enumerate(row) if value >= threshold}
    result = []
    for row in similarity:
        if any(row[g] == max(row) for g in active):
            row = [math.exp(beta * value)
                   / sum(math.exp(beta * other[g]) for other in bank)
                   for g, value in enumerate(row)]
        result.append(row)
    return result, active


def order(row):
    """The ranking as a comparison of all pairs."""
    return torch.sign(row[:, None] - row[None])


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4),
       st.sampled_from([0., 1., 100.]))
def test_dual_softmax_is_its_formula(data, texts, videos, temperature):
    similarity = data.draw(matrices(texts, videos))
    got = dual_softmax(double(similarity), temperature)
    expected = dict(
        t2v=slow_dual_softmax(similarity, temperature),
        v2t=transposed(
            slow_dual_softmax(transposed(similarity), temperature)))
    assert got.keys() == expected.keys()
    for direction, rows in expected.items():
        torch.testing.assert_close(
            got[direction], double(rows), rtol=1e-9, atol=0)


@pytest.mark.parametrize('temperature', [0, 1e-7])
def test_dual_softmax_without_temperature_keeps_the_ranking(temperature):
    similarity = torch.randn(7, 5)
    got = dual_softmax(similarity, temperature)
    for before, after in zip(similarity, got['t2v']):
        assert torch.equal(order(before.double()), order(after))
    for before, after in zip(similarity.T, got['v2t'].T):
        assert torch.equal(order(before.double()), order(after))


def test_dual_softmax_takes_a_hub_down():
    # The first video is near to all texts, each of which has its own.
    similarity = torch.tensor([[.9, .1, .1], [.8, .7, .1], [.8, .1, .7]])
    assert similarity.argmax(dim=1).tolist() == [0, 0, 0]
    got = dual_softmax(similarity)
    assert got['t2v'].argmax(dim=1).tolist() == [0, 1, 2]


def test_small_weights_are_no_ties():
    similarity = torch.tensor([[.9, .9, .9], [-.01, .01, .02]]) - .5
    similarity = torch.cat([similarity, similarity.flip(1)])
    weights = dual_softmax(similarity, 300)['t2v']
    assert all(len(row.unique()) == 3 for row in weights[1::2])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4),
       st.sampled_from([.5, 20.]))
def test_qb_norm_is_its_formula(data, queries, size, gallery, beta):
    similarity = data.draw(matrices(queries, gallery))
    bank = data.draw(matrices(size, gallery))
    top = data.draw(st.integers(1, gallery))
    got = qb_norm(double(similarity), double(bank), beta, top)
    expected, active = slow_qb_norm(similarity, bank, beta, top)
    for before, rows, row in zip(similarity, expected, got):
        if any(before[g] == max(before) for g in active):
            row = (beta * row).exp()
        torch.testing.assert_close(
            row, double(rows), rtol=1e-9, atol=0)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 5), cosines)
def test_a_constant_bank_changes_no_ranking(data, gallery, constant):
    similarity = torch.tensor(data.draw(matrices(3, gallery)))
    got = qb_norm(similarity, torch.full((4, gallery), constant))
    for before, after in zip(similarity.double(), got):
        assert torch.equal(order(before), order(after))


def test_queries_whose_best_item_is_inactive_are_as_they_were():
    bank = torch.tensor([[.9, .1, .1], [.8, .2, .1]])  # only item 0 is active
    similarity = torch.tensor([[.5, .45, .1], [.1, .5, .45]])
    got = qb_norm(similarity, bank)
    assert torch.equal(got[1], similarity[1].double())
    assert got[0].argmax() == 1  # the hub came down
    every = qb_norm(similarity, bank, top=3)
    assert not torch.equal(every[1], similarity[1].double())


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('scale', [1e3, 1e6])
def test_huge_values_stay_finite_and_inputs_unchanged(dtype, scale):
    similarity = torch.randn(6, 5, dtype=dtype) * scale
    bank = torch.randn(9, 5, dtype=dtype) * scale
    copies = similarity.clone(), bank.clone()
    results = [*dual_softmax(similarity).values(),
               qb_norm(similarity, bank, top=5)]
    for result in results:
        assert result.isfinite().all() and result.dtype == torch.float64
    assert torch.equal(similarity, copies[0]) and torch.equal(bank, copies[1])


@pytest.mark.parametrize('call, message', [
    (lambda s, b: dual_softmax(s[0]), r'\(texts, videos\), got \(3,\)'),
    (lambda s, b: dual_softmax(s, -1.), 'temperature .* got -1.0'),
    (lambda s, b: dual_softmax(s, math.nan), 'temperature .* got nan'),
    (lambda s, b: dual_softmax(s / 0), r'similarity .* has 6 .* nan at \(0, 0\)'),
    (lambda s, b: qb_norm(s, b[:0]), r'bank .* got \(0, 3\)'),
    (lambda s, b: qb_norm(s, b[:, :2]), 'the 3 gallery items .* got 2'),
    (lambda s, b: qb_norm(s, b, beta=0), 'beta .* got 0'),
    (lambda s, b: qb_norm(s, b, top=4), 'top must be at most 3, .* got 4'),
    (lambda s, b: qb_norm(s, b, top=0), 'top must be a positive integer, got 0'),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 3), torch.zeros(4, 3))
