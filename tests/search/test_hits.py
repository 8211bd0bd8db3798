"""Scores against numpy, moments and thresholds against the obvious."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.search.hits import (
    exact_scores,
    find_hits,
    no_match_threshold,
)
from mmaction_centerclip.search.store import Segments


def random_rows(count, width=32, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, width), dtype=np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize('count', [1, 50, 20_000])
def test_exact_search(count):
    rows, query = random_rows(count), random_rows(1, seed=1)[0].astype(np.float32)
    scores = exact_scores(rows, query)
    expected = rows.astype(np.float32) @ query
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    best = min(count, 1000)
    assert (np.argsort(-scores)[:best] == np.argsort(-expected)[:best]).mean() >= 0.99
    np.testing.assert_allclose(np.sort(scores)[-best:], np.sort(expected)[-best:],
                               atol=1e-6)


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
    assert find_hits(scores, file_of, segments, *arguments) == slow_hits(
        scores, file_of, start, start + 1, *arguments)


def test_many_rows_are_joined_beyond_the_refined_ones():
    scores = np.tile(np.array([0, 1], np.float32), 5000)
    start = np.arange(10_000.)
    segments = Segments(start, start + 1, np.empty((10_000, 0), np.float16))
    hits = find_hits(scores, np.zeros(10_000, int), segments, 6000, -1., 0.)
    assert len(hits) == 6000 and hits[:2] == [(1, 1, 1.), (3, 3, 1.)]


@pytest.mark.parametrize('count', [30, 3000])
def test_chance_seldom_matches_and_what_is_meant_does(count):
    rows = random_rows(count, 64)
    by_chance = meant = 0
    for seed in range(100):
        query = random_rows(1, 64, 100 + seed)[0].astype(np.float32)
        scores = rows.astype(np.float32) @ query
        by_chance += scores.max() > no_match_threshold(scores)[0]
        near = rows[seed % count].astype(np.float32) + 0.6 * query
        scores = rows.astype(np.float32) @ (near / np.linalg.norm(near))
        meant += scores.max() > no_match_threshold(scores)[0]
    assert by_chance <= 15 and meant >= 95
