"""Windows, cuts and the times of segments, on films that are known."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.search.encoding import find_cuts, segment_frames, split_video

from .films import write_film


@given(st.integers(1, 300), st.floats(0.3, 40), st.sets(st.integers(1, 299)))
def test_windows_cover_a_video_and_are_short(frames, length, cuts):
    seconds = np.arange(frames + 1) / 10
    cuts = np.array(sorted(c for c in cuts if c < frames), np.int64)
    windows = split_video(seconds, length, cuts)
    assert windows[0][0] == 0 and windows[-1][1] == frames
    assert all(a < b for a, b in windows)
    assert [b for _, b in windows[:-1]] == [a for a, _ in windows[1:]]
    assert set(cuts.tolist()) <= {a for a, _ in windows}
    # To the next frame, which is as exact as it gets.
    assert all(seconds[b] - seconds[a] <= length + 0.1001 for a, b in windows)


@pytest.mark.parametrize('sampled, count, expected', [
    ([2, 7, 12, 17], 4, [(0, 5), (5, 10), (10, 15), (15, 20)]),
    ([2, 7, 12, 17], 2, [(0, 10), (10, 20)]),
    ([2, 7, 12, 17], 1, [(0, 20)]),
    ([0, 0, 0, 0], 2, [(0, 0), (0, 20)]),
])
def test_frames_of_segments(sampled, count, expected):
    starts = range(0, len(sampled), len(sampled) // count)
    assert segment_frames(sampled, list(starts), 0, 20) == expected


@given(st.integers(1, 6), st.integers(1, 4), st.integers(20, 90), st.integers(0, 50))
def test_segments_take_in_the_frames_that_are_nearest(count, size, length, first):
    total = count * size
    sampled = (first + (np.arange(total) + 0.5) * length / total).astype(int).tolist()
    owner = [min(range(total), key=lambda k, f=f: (abs(sampled[k] - f), -k)) // size
             for f in range(first, first + length)]
    found = segment_frames(sampled, list(range(0, total, size)), first, first + length)
    slow = [(first + owner.index(s), first + owner.index(s) + owner.count(s))
            for s in range(count)]
    assert found == slow


def test_known_cuts_are_found_and_motion_is_not(tmp_path):
    shots = [23, 40, 31, 12]
    reader = VideoReader(str(write_film(tmp_path / 'film.mp4', shots)))
    assert find_cuts(reader.decode_grey()).tolist() == np.cumsum(shots)[:-1].tolist()
    assert find_cuts([np.zeros((64, 64), np.uint8)]).tolist() == []


def test_seconds_are_those_of_the_file(tmp_path):
    def uneven(i):
        return 40 * i if i < 10 else 400 + 200 * (i - 10)

    even = VideoReader(str(write_film(tmp_path / 'even.mp4', [20])))
    np.testing.assert_allclose(even.get_seconds(), np.arange(21) / 10)
    reader = VideoReader(str(write_film(tmp_path / 'uneven.mkv', [20], times=uneven)))
    expected = [uneven(i) / 1000 for i in range(20)]
    np.testing.assert_allclose(reader.get_seconds()[:-1], expected, atol=1e-3)
    in_order = VideoReader(str(write_film(tmp_path / 'even.avi', [20])))
    np.testing.assert_allclose(in_order.get_seconds(), np.arange(21) / 10, atol=1e-6)
