"""Compressed videos: which frames they keep, and what is refused."""
import os

import av
import numpy as np
import pytest

from mmaction_centerclip.datasets import compression
from mmaction_centerclip.datasets.compression import Compression, compress_video
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError

from ..paths import SHARED
from .clips import FRAMES, h264, numbers_of, unevenly

REAL = sorted(path for folder in ('trials/videos', 'videos')
              for path in (SHARED / folder).glob('*') if path.suffix != '.md'
              and path.stem not in ('hdr', 'hflip', 'sar', 'vfr', 'demo'))
ALL = dict(fps=0, all_intra=True)


@pytest.fixture
def compress(tmp_path):
    def run(path, **options):
        target = tmp_path / 'out' / path.name
        figures = compress_video(str(path), str(target), Compression(**options))
        return VideoReader(str(target)), figures

    return run


@pytest.mark.parametrize('name', [
    'h264.mp4', 'late.mp4', 'mpeg4_b.avi', 'vp9.webm', 'h264.mkv', 'h264.ts',
    'gif.gif', 'mjpeg.mov', 'mpeg2.mpg'])
def test_all_frames_are_kept_at_their_numbers(clip, compress, name):
    path = clip(name)
    video, figures = compress(path, **ALL)
    assert len(video) == figures['frames'] == FRAMES
    found, wanted = (numbers_of(reader.get_batch(range(FRAMES)).asnumpy())
                     for reader in (video, VideoReader(str(path))))
    assert np.abs(np.subtract(found, wanted)).max() <= 3
    assert video.get_avg_fps() == pytest.approx(25, rel=1e-6)
    assert figures['difference'] < 2


def expected_at(fps, times, rate):
    """The obvious slow way: the frame on the screen at each moment, once."""
    shown = []
    moment = 0
    while moment / fps < times[-1] - times[0] + 1 / rate - .0001:
        on = max(i for i, time in enumerate(times)
                 if time - times[0] <= moment / fps + .0001)
        shown += [on] if on not in shown else []
        moment += 1
    return shown


@pytest.mark.parametrize('fps', [1, 3, 5, 12, 25, 50])
@pytest.mark.parametrize('name, times', [
    ('h264.mp4', [i / 25 for i in range(FRAMES)]),
    ('late.mp4', [i / 25 for i in range(FRAMES)]),
    ('mpeg4_b.avi', [i / 25 for i in range(FRAMES)]),
    ('uneven.mp4', [unevenly(i) / 1000 for i in range(FRAMES)])])
def test_frames_of_each_second(clip, compress, name, times, fps):
    path = clip(name)
    video, _ = compress(path, fps=fps)
    found = numbers_of(video.get_batch(range(len(video))).asnumpy())
    wanted = expected_at(fps, times, VideoReader(str(path)).get_avg_fps())
    assert len(found) == len(wanted)
    assert np.abs(np.subtract(found, wanted)).max() <= 3
    if name != 'uneven.mp4' and fps <= 25:
        assert video.get_avg_fps() == pytest.approx(fps, rel=1e-6)


def test_times_that_are_not_even_are_kept(clip, compress, tmp_path):
    compress(clip('uneven.mp4'), **ALL)
    with av.open(str(tmp_path / 'out' / 'uneven.mp4')) as container:
        times = [frame.time for frame in container.decode(video=0)]
    wanted = [unevenly(i) / 1000 for i in range(FRAMES)]
    assert np.abs(np.subtract(times, wanted) - times[0] + wanted[0]).max() < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize('path', REAL, ids=lambda path: path.name)
def test_real_videos(path, compress):
    original, (video, figures) = VideoReader(str(path)), compress(path, **ALL)
    assert len(video) == len(original)
    assert int(video.get_avg_fps()) == int(original.get_avg_fps())
    assert figures['difference'] < (15 if path.suffix == '.gif' else 4)
    height, width = video.get_batch([0]).asnumpy().shape[1:3]
    assert min(height, width) <= 224 and height % 2 == width % 2 == 0
    if 'trials' in str(path):
        found = video.get_batch(range(len(video))).asnumpy().mean(axis=(1, 2, 3)) - 20
        assert np.abs(found - range(len(video))).max() <= 3


def test_all_frames_are_key_frames_on_request(clip, compress, tmp_path):
    path = clip('h264.mp4')
    for all_intra, count in ((True, FRAMES), (False, 1)):
        compress(path, fps=0, all_intra=all_intra)
        with av.open(str(tmp_path / 'out' / 'h264.mp4')) as container:
            keys = sum(packet.is_keyframe for packet in container.demux(video=0)
                       if packet.size)
            assert container.streams.video[0].codec.name == 'h264'
        assert keys == count


def test_a_second_call_does_nothing_until_something_changes(clip, compress, tmp_path):
    path, target = clip('h264.mp4'), tmp_path / 'out' / 'h264.mp4'
    compress(path)
    before = target.read_bytes()
    assert compress(path)[1] is None and target.read_bytes() == before
    assert compress(path, fps=5)[1]['frames'] == 12  # other options
    clip('h264.mp4', frames=20, **h264(4))
    assert compress(path, fps=5)[1]['frames'] == 4
    assert [p.name for p in target.parent.iterdir()] == ['h264.mp4']


@pytest.mark.parametrize('content', [b'', b'text', b'video'])
def test_a_file_of_something_else_is_left_alone(clip, compress, tmp_path, content):
    path, target = clip('h264.mp4'), tmp_path / 'out' / 'h264.mp4'
    target.parent.mkdir()
    target.write_bytes(path.read_bytes() if content == b'video' else content)
    before = target.read_bytes()
    with pytest.raises(DecodingError, match='not a compressed video'):
        compress(path)
    assert target.read_bytes() == before


def test_what_was_not_written_as_it_should_be_is_refused(clip, compress, tmp_path,
                                                         monkeypatch):
    path = clip('h264.mp4')
    with pytest.raises(DecodingError, match='max_difference=0.01'):
        compress(path, max_difference=.01)
    write = compression.write_mp4

    def write_less(name, kept, **options):
        write(name, list(kept)[:-1], **options)

    def write_late(name, kept, **options):
        write(name, ((image, time + (time > 1) / 10) for image, time in kept),
              **options)

    for spoil, message in ((write_less, 'to fewer'), (write_late, r'frame \d+ at')):
        monkeypatch.setattr(compression, 'write_mp4', spoil)
        with pytest.raises(DecodingError, match=message):
            compress(path, **ALL)
    assert not list((tmp_path / 'out').iterdir())


@pytest.mark.parametrize('content, message', [
    (b'', 'empty'), (b'text', 'cannot be decoded')])
def test_unreadable_videos(tmp_path, content, message, compress):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(content)
    with pytest.raises(DecodingError, match=f'bad.mp4: .*{message}'):
        compress(path)
    os.remove(path)
    with pytest.raises(DecodingError, match='no such file'):
        compress(path)


@pytest.mark.parametrize('options', [
    dict(short_side=8), dict(short_side=24.), dict(fps=-1), dict(fps=2.5),
    dict(crf=52), dict(preset='best'), dict(max_difference=0)])
def test_options(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Compression(**options)
