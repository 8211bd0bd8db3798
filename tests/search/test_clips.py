"""Clips and copies of a video are shown as it is, for as long."""
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from mmaction_centerclip.datasets.compression import Compression, compress_video
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit
from mmaction_centerclip.search.exports import cut_clip
from mmaction_centerclip.search.page.media import media_type, thumbnail
from mmaction_centerclip.visualization import film_strip

from ..datasets.clips import h264, numbers_of, write_clip
from ..datasets.pictures import HDR, grey, is_shown, picture, pq, write_pictures


def cut(path, start, end):
    """Cut a moment; return its frames, their times and how long it is."""
    clip = path.with_name(f'{start}_{end}.mp4')
    cut_clip(Hit(str(path), start, end, 0.), clip)
    with av.open(str(clip)) as file:
        times = [frame.time for frame in file.decode(video=0)]
        return VideoReader(str(clip)), times, file.duration / av.time_base


def tags_of(path):
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        return frame.colorspace, frame.color_primaries, frame.color_trc


def test_proportions_and_mirrors(tmp_path):
    path = write_pictures(tmp_path / 'a.mp4', [picture(144, 180)] * 10,
                          sar=Fraction(64, 45), matrix=(-1, 0, 0, 1))
    expected = np.fliplr(picture(144, 256))
    clip, _, seconds = cut(path, 0, .2)
    assert is_shown(clip.get_batch([3]).asnumpy()[0], expected) and seconds == .2
    compress_video(str(path), str(tmp_path / 'b.mp4'), Compression(short_side=72))
    small = VideoReader(str(tmp_path / 'b.mp4')).get_batch([0]).asnumpy()[0]
    assert is_shown(small, np.fliplr(picture(72, 128)))
    drawn = cv2.imdecode(np.frombuffer(thumbnail(str(path), .1, 0), np.uint8), 1)
    assert is_shown(drawn[..., ::-1], expected)
    strip = film_strip(str(path), 2, 72)
    assert strip.shape == (72, 2 * 128 + 4, 3)
    assert is_shown(strip[:, :128], np.fliplr(picture(72, 128)))
    plain = write_pictures(tmp_path / 'c.mp4', [picture()])
    assert media_type(str(plain), 0) and media_type(str(path), 0) is None


def test_light(tmp_path):
    path = write_pictures(
        tmp_path / 'a.mp4', [grey(pq(100))] * 10, 'libx265', 'yuv420p10le',
        tags=(*HDR, ('color_trc', 16)))
    clip, *_ = cut(path, 0, .4)
    compress_video(str(path), str(tmp_path / 'b.mp4'), Compression())
    for video in (clip, VideoReader(str(tmp_path / 'b.mp4'))):
        found = video.get_batch([0]).asnumpy()
        assert np.abs(found - 255 * (100 / 203)**(1 / 2.4)).max() < 5
    assert tags_of(tmp_path / '0_0.4.mp4') == tags_of(tmp_path / 'b.mp4') == (1, 1, 1)


def phone(number):
    """Milliseconds of frames that come 5 times a second, and later 25 times."""
    return 200 * number if number < 10 else 2000 + 40 * (number - 10)


@pytest.mark.parametrize('start, end, numbers, times', [
    (0, 2, range(10), range(0, 2000, 200)), (2, 4, range(10, 60), range(0, 2000, 40)),
    (1, 2.4, range(5, 20), [*range(0, 1000, 200), *range(1000, 1400, 40)]),
    # Its first frame was on the screen for a while, and its last one stays there.
    (.7, 1.1, (3, 4, 5), (0, 100, 300)),
    # To half a frame.
    (2.015, 2.215, range(10, 15), range(0, 200, 40)),
    (2.025, 2.225, range(11, 16), range(0, 200, 40))])
def test_clips_last_as_long_as_in_the_file(tmp_path, start, end, numbers, times):
    path = write_clip(tmp_path / 'a.mp4', **h264(times=phone))
    clip, found, seconds = cut(path, start, end)
    assert np.abs(np.subtract(numbers_of(clip.get_batch(
        range(len(clip))).asnumpy()), list(numbers))).max() <= 3
    np.testing.assert_allclose(found, np.array(times) / 1000, atol=1e-3)
    assert seconds == pytest.approx(end - start, abs=.02)


def test_nothing_to_cut(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', **h264(times=phone))
    with pytest.raises(InputError, match='no frames from 5 to 6 seconds'):
        cut(path, 5, 6)
