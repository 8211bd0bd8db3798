"""Moments against the obvious."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.search.hits import draw_background, find_hits
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


def test_the_rows_that_are_drawn_are_the_same_each_time():
    assert draw_background(10).tolist() == list(range(10))
    drawn = draw_background(100_000)
    assert len(set(drawn.tolist())) == 4096 and (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, draw_background(100_000))
