"""Scores against numpy, moments against the obvious, and those of an engine."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit, join_moments
from mmaction_centerclip.search.ranking import (
    Ranking,
    draw_background,
    exact_scores,
    exclude_vectors,
    find_hits,
)
from mmaction_centerclip.search.records import Segments
from mmaction_centerclip.search.segment_table import SegmentTable


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


def draw_segments(data, last_file):
    """Scores of up to 25 segments, and their files, by which these are sorted."""
    count = data.draw(st.integers(1, 25))
    scores = np.array(data.draw(st.lists(
        st.integers(-8, 8), min_size=count, max_size=count)), np.float32) / 8
    return scores, np.sort(data.draw(st.lists(
        st.integers(0, last_file), min_size=count, max_size=count)))


@settings(deadline=None)
@given(st.data())
def test_neighbours_are_joined(data):
    scores, file_of = draw_segments(data, last_file=2)
    count = len(scores)
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


def as_hits(table, which, scores):
    """Some segments as an engine answers."""
    return [Hit(table.paths[table.file_of[i]], float(table.segments.start[i]),
                float(table.segments.end[i]), float(scores[i])) for i in which]


@pytest.mark.parametrize('kind', ['random', 'clustered'])
def test_two_questions_give_the_moments_of_all(kind, tmp_path):
    """An engine is numpy: the best segments, then all of their files."""
    count, rng = 20_000, np.random.default_rng(5)
    vectors = (random_rows(count, 64) if kind == 'random' else clustered_rows(
        np.random.default_rng(0), count).astype(np.float16))
    start, joined = np.arange(count, dtype=float), 0
    table = SegmentTable([f'{i:03}.mp4' for i in range(500)],
                         np.arange(count, dtype=np.int32) // 40,
                         Segments(start, start + 1, vectors), str(tmp_path / 'none'))
    for row in rng.integers(count, size=10):
        query = vectors[row] + rng.normal(0, .1, 64).astype(np.float32)
        scores = vectors.astype(np.float32) @ (query / np.linalg.norm(query))
        median = np.median(scores[draw_background(count)])
        best = np.argsort(-scores)[:128]
        rows = as_hits(table, np.flatnonzero(
            np.isin(table.file_of, table.file_of[best])), scores)
        found = join_moments([*rows[::-1], *rows[:9]], median, 8, best=128)
        expected = slow_hits(scores, table.file_of, start, start + 1, 8, -9., median)
        assert [(hit.file, hit.start, hit.end) for hit in found] == [
            (table.paths[table.file_of[first]], first, last + 1)
            for first, last, _ in expected]
        np.testing.assert_array_equal([hit.score for hit in found],
                                      [score for *_, score in expected])
        joined += sum(hit.end - hit.start > 1 for hit in found)
    assert joined > 40 or kind == 'random'


@settings(deadline=None)
@given(st.data())
def test_only_the_best_begin_a_moment(data):
    """What files that were not asked for have cannot be known."""
    scores, file_of = draw_segments(data, last_file=4)
    count = len(scores)
    start, best = np.arange(count), data.draw(st.integers(1, 25))
    topk, lowest = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([-2., .25]))
    first = np.argsort(-scores, kind='stable')[:best]
    found = join_moments(
        [Hit(str(file_of[i]), i, i + 1, scores[i])
         for i in np.flatnonzero(np.isin(file_of, file_of[first]))],
        0., topk, lowest, best)
    peaks = {row: place for place, row in enumerate(np.argsort(-scores, kind='stable'))}
    assert [(int(hit.start), int(hit.end) - 1, hit.score) for hit in found] == [
        hit for hit in slow_hits(scores, file_of, start, start + 1, topk, lowest, 0.)
        if min(peaks[i] for i in range(hit[0], hit[1] + 1) if scores[i] == hit[2]
               ) < best]


def test_answers_that_no_engine_gives():
    rows = [Hit('a.mp4', 0., 1., .5)]
    assert join_moments([], 0.) == [] == join_moments(rows, 0., min_score=.6)
    for arguments, message in (
            (([Hit('a.mp4', 0., 1., np.nan)], 0.), 'scores that are not finite'),
            ((rows, np.nan), 'median must be a finite number'),
            ((rows, 0., 0), 'topk must be a positive integer'),
            ((rows, 0., 1, 'x'), 'min_score must be a finite number'),
            ((rows, 0., 1, 0., 0), 'best must be a positive integer')):
        with pytest.raises(InputError, match=message):
            join_moments(*arguments)
