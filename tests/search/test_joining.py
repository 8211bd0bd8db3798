"""Moments from the answers of an engine, against those of all segments."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit, join_moments
from mmaction_centerclip.search.ranking import draw_background
from mmaction_centerclip.search.records import Segments
from mmaction_centerclip.search.segment_table import SegmentTable

from .test_ranking import clustered_rows, random_rows, slow_hits


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
    count = data.draw(st.integers(1, 25))
    scores = np.array(data.draw(st.lists(
        st.integers(-8, 8), min_size=count, max_size=count)), np.float32) / 8
    file_of = np.sort(data.draw(st.lists(
        st.integers(0, 4), min_size=count, max_size=count)))
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
