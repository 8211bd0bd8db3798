"""Scores against numpy, moments against the obvious, queries without what is excluded.
"""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search.ranking import (
    Ranking,
    draw_background,
    exact_scores,
    exclude_vectors,
    find_hits,
)
from mmaction_centerclip.search.records import Segments


def random_rows(count, width=32, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, width), dtype=np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize('count', [1, 50, 20_000])
def test_exact_search(count):
    vectors, query = random_rows(count), random_rows(1, seed=1)[0].astype(np.float32)
    scores = exact_scores(vectors, query)
    expected = vectors.astype(np.float32) @ query
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    best = min(count, 1000)
    assert (np.argsort(-scores)[:best] == np.argsort(-expected)[:best]).mean() >= 0.99
    np.testing.assert_allclose(np.sort(scores)[-best:], np.sort(expected)[-best:],
                               atol=1e-6)
    order = list(Ranking(scores))
    assert order == np.argsort(-scores, kind='stable').tolist()
    assert Ranking(scores)[order[0]] == scores.max()


def slow_hits(scores, file_of, start, end, topk, min_score, median):
    """Join neighbours in lists, as the docstring says."""
    left, hits = set(range(len(scores))), []
    while left and len(hits) < topk:
        peak = max(left, key=lambda i: (scores[i], -i))
        if scores[peak] < min_score:
            break
        floor = max(min_score, (scores[peak] + median) / 2)
        rows = [peak]
        for step in (-1, 1):
            row = peak + step
            while row in left and scores[row] >= floor:
                a, b = sorted((row, row - step))
                if file_of[a] != file_of[b] or start[b] - end[a] > 1e-3:
                    break
                rows.append(row)
                row += step
        left -= set(rows)
        hits.append((min(rows), max(rows), scores[peak]))
    return hits


@settings(deadline=None)
@given(st.data())
def test_neighbours_are_joined(data):
    count = data.draw(st.integers(1, 25))
    scores = np.array(data.draw(st.lists(
        st.integers(-8, 8), min_size=count, max_size=count)), np.float32) / 8
    file_of = np.sort(data.draw(st.lists(
        st.integers(0, 2), min_size=count, max_size=count)))
    gaps = np.array(data.draw(st.lists(
        st.booleans(), min_size=count, max_size=count)), float)
    start = np.arange(count) + np.cumsum(gaps)
    segments = Segments(start, start + 1, np.empty((count, 0), np.float16))
    arguments = (data.draw(st.integers(1, 6)),
                 data.draw(st.sampled_from([-2., 0., .5])),
                 float(np.median(scores)))
    assert find_hits(Ranking(scores), file_of, segments, *arguments) == slow_hits(
        scores, file_of, start, start + 1, *arguments)


def test_many_rows_are_joined_beyond_the_refined_ones():
    scores = np.tile(np.array([0, 1], np.float32), 5000)
    start = np.arange(10_000.)
    segments = Segments(start, start + 1, np.empty((10_000, 0), np.float16))
    hits = find_hits(Ranking(scores), np.zeros(10_000, int), segments, 6000, -1., 0.)
    assert len(hits) == 6000 and hits[:2] == [(1, 1, 1.), (3, 3, 1.)]


def clustered_rows(rng, count, width=64):
    """SegmentTable as CLIP's are: all alike in part, and those of a film more so."""
    films = rng.standard_normal((-(-count // 30), width)).repeat(30, axis=0)[:count]
    rows = 3 * np.ones(width) + films + rng.standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_rows_that_are_drawn_are_the_same_each_time():
    assert draw_background(10).tolist() == list(range(10))
    drawn = draw_background(100_000)
    assert len(set(drawn.tolist())) == 4096 and (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, draw_background(100_000))


def unit(*values):
    return np.array(values, np.float32) / np.linalg.norm(values)


def test_one_is_taken_out_as_the_paper_says():
    a, b = unit(3, 1, 2, 0), unit(1, 1, 0, 1)
    expected = a - (a @ b) * b
    np.testing.assert_allclose(exclude_vectors(a, b[None]),
                               expected / np.linalg.norm(expected), atol=1e-6)


def test_the_rest_is_orthogonal_to_all_and_of_unit_length():
    rng = np.random.default_rng(0)
    query, excluded = rng.standard_normal(16), rng.standard_normal((3, 16))
    excluded = np.concatenate([excluded, excluded[:1]])  # One twice.
    left = exclude_vectors(query, excluded)
    np.testing.assert_allclose(excluded @ left, 0, atol=1e-6)
    assert np.linalg.norm(left) == pytest.approx(1) and left @ query > 0


def test_rows_with_what_is_excluded_fall_behind():
    # All alike in part, as features of CLIP are: dog, snow and cat.
    common, dog, snow, cat = np.eye(4)
    text = {'dog': unit(*(2 * common + dog)), 'snow': unit(*(2 * common + snow))}
    rows = np.array([unit(*(2 * common + dog + snow)), unit(*(2 * common + dog)),
                     unit(*(2 * common + cat)), unit(*(2 * common + snow))])
    order = np.argsort(-rows @ exclude_vectors(text['dog'], text['snow'][None]))
    assert order.tolist()[0] == 1 and order.tolist()[-1] == 3


def test_nothing_is_left():
    query = unit(1, 2)
    for excluded in ([unit(1, 2)], np.eye(2, dtype=np.float32)):
        with pytest.raises(InputError, match='nothing is left'):
            exclude_vectors(query, np.array(excluded))
