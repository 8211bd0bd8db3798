"""Moments and chance against the obvious."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.search.hits import Chance, draw_background, find_hits
from mmaction_centerclip.search.ranking import Ranking
from mmaction_centerclip.search.store import Segments


def random_rows(count, width=32, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, width), dtype=np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


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
    """Rows as CLIP's are: all alike in part, and those of a film more so."""
    films = rng.standard_normal((-(-count // 30), width)).repeat(30, axis=0)[:count]
    rows = 3 * np.ones(width) + films + rng.standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize('make', [
    lambda rng, count: random_rows(count, 64, rng.integers(99)).astype(np.float32),
    clustered_rows], ids=['random', 'clustered'])
@pytest.mark.parametrize('count', [30, 3000, 20_000])
def test_chance_seldom_matches_and_what_is_meant_does(make, count):
    rng = np.random.default_rng(1)
    rows, drawn = make(rng, count), draw_background(count)
    by_chance = meant = 0
    for seed in range(200):
        query = random_rows(1, 64, 100 + seed)[0].astype(np.float32)
        scores = rows @ query
        by_chance += scores.max() > Chance.of(scores[drawn], count).threshold
        near = rows[seed % count] - rows.mean(axis=0) + 0.3 * query
        scores = rows @ (near / np.linalg.norm(near))
        meant += scores.max() > Chance.of(scores[drawn], count).threshold
    # 5% are meant: 10, and the more the fewer rows say what chance is.
    assert by_chance <= (30 if count == 30 else 16) and meant >= 190


@pytest.mark.parametrize('count', [1, 7, 500])
def test_p_values_are_how_often_the_best_of_so_many_is_as_good(count):
    rng, chance = np.random.default_rng(0), Chance(2., .5, count)
    best = rng.normal(2., .5, (20_000, count)).max(axis=1)
    for score in (1.5, 2., 3., chance.threshold):
        assert chance.p_value(score) == pytest.approx((best >= score).mean(), abs=.012)
    assert chance.p_value(chance.threshold) == pytest.approx(.05)
    assert chance.p_value(-9) == 1 and 0 <= chance.p_value(20) < 1e-9
    flat = Chance.of(np.full(9, .25), 9)
    assert (flat.p_value(.25), flat.p_value(.26)) == (1, 0)


def test_the_rows_that_are_drawn_are_the_same_each_time():
    assert draw_background(10).tolist() == list(range(10))
    drawn = draw_background(100_000)
    assert len(set(drawn.tolist())) == 4096 and (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, draw_background(100_000))
