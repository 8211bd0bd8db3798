"""The frames that were asked for, from every container and codec."""

import av
import decord
import numpy as np
import pytest

from mmaction_centerclip.datasets.video import video_reader
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.datasets.video.video_reader import VideoReader

from ..paths import SHARED
from .clips import (
    CLIPS,
    FRAMES,
    change,
    later_key_frames,
    numbers_of,
    of_size,
    open_video,
    silence,
    start_at,
    x264,
)

REAL = sorted(path for folder in ('trials/videos', 'videos')
              for path in (SHARED / folder).glob('*') if path.suffix != '.md'
              # Those whose frames do not say their numbers.
              and path.stem not in ('hdr', 'hflip', 'sar', 'vfr'))


def in_order(path):
    """Decode all of a video, one frame after the other."""
    with av.open(str(path)) as container:
        # One of the real videos has wide pixels.
        width = container.streams.video[0].width
        width = round(width * (container.streams.video[0].sample_aspect_ratio or 1))
        return [frame.to_ndarray(format='rgb24', width=width)
                for frame in container.decode(video=0)]


def draws(total, seed=0):
    """Numbers of frames in any order, some twice, the last and the first."""
    rng = np.random.default_rng(seed)
    yield [total - 1, 0, total - 1]
    for count in (1, 2, 5, 12, 12):
        yield rng.integers(total, size=count).tolist()
    yield sorted(rng.integers(total, size=12).tolist())


@pytest.mark.parametrize('name, source', [
    *((name, 'name') for name in CLIPS),
    *((name, 'bytes') for name in ('h264.mp4', 'h264.avi', 'h264.mkv', 'mpeg2.ts',
                                   'mpeg2.mpg', 'h264.flv'))])
def test_frames_are_those_asked_for(clip, name, source):
    path = clip(name)
    video = open_video(path, source)
    assert len(video) == FRAMES
    expected = in_order(path)
    for wanted in draws(FRAMES):
        frames = video.get_batch(wanted).asnumpy()
        assert frames.dtype == np.uint8 and frames.shape[1:] == (64, 96, 3)
        for frame, number, found in zip(frames, wanted, numbers_of(frames)):
            assert abs(found - number) <= 2, wanted
            assert (frame == expected[number]).all()


@pytest.mark.parametrize('path', REAL, ids=lambda path: path.name)
def test_real_videos(path):
    video, expected = open_video(path), in_order(path)
    assert len(video) == len(expected)
    for wanted in [[8, 25, 41, 55], *draws(len(video), seed=1)]:
        frames = video.get_batch(wanted).asnumpy()
        for frame, number in zip(frames, wanted):
            assert (frame == expected[number]).all()
        if 'trials' in str(path):
            found = frames.mean(axis=(1, 2, 3)) - 20
            assert np.abs(found - wanted).max() <= 3


@pytest.mark.parametrize('name, rate', [
    ('h264.mp4', 25), ('h264.avi', 25), ('mpeg1.mpg', 25), ('vp8.ogv', 25),
    ('uneven.ts', 59 / 6.291), ('gif.gif', 25)])
def test_rate(clip, name, rate):
    assert open_video(clip(name)).get_avg_fps() == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize('name', [
    'h264.mp4', 'open_gop.mp4', 'fragmented.mp4', 'late.mp4', 'uneven.mp4',
    'hevc_open.mp4', 'av1.webm', 'vp9.webm', 'h264.mkv', 'mjpeg.mov',
    'mpeg4.mp4', 'vp8.webm'])
def test_key_frames_are_jumped_to(clip, name, decoded):
    video = open_video(clip(name))
    video.get_batch([FRAMES - 1])
    assert len(decoded) <= 20  # a group at most


def test_packets_that_hold_no_frame(clip, tmp_path):
    # MPEG-4: a picture that is not coded, in place of two.
    path = tmp_path / 'less.mp4'
    with av.open(str(clip('mpeg4.mp4', **of_size('mpeg4')))) as source, av.open(
            str(path), 'w') as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if number in (20, 40):
                bits = f'0101{number % 25:05b}10'.ljust(12, '0').ljust(16, '1')
                empty = av.Packet(b'\0\0\1\xb6' + int(bits, 2).to_bytes(2, 'big'))
                empty.pts, empty.dts = packet.pts, packet.dts
                empty.time_base = packet.time_base
                packet = empty
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    # VP8: a frame that is not to be shown.
    hidden = clip('vp8.webm')
    with av.open(str(hidden)) as container:
        packet = bytes([p for p in container.demux(video=0) if p.size][31])
    hidden.write_bytes(hidden.read_bytes().replace(
        packet, bytes([packet[0] & ~16]) + packet[1:]))
    for name in (path, hidden):
        video, expected = open_video(name), in_order(name)
        assert len(video) == len(expected) < FRAMES
        for wanted in draws(len(video)):
            frames = video.get_batch(wanted).asnumpy()
            assert (frames == np.stack([expected[i] for i in wanted])).all()


def test_false_key_frames(clip, decoded):
    most = 0
    for name in ('hevc.mp4', 'vp9.mp4', 'av1.mp4', 'open_gop.mp4'):
        video = open_video(change(clip(name), b'stss', later_key_frames))
        found = numbers_of(video.get_batch(range(0, FRAMES, 7)).asnumpy())
        assert np.abs(np.subtract(found, range(0, FRAMES, 7))).max() <= 2
        most = max(most, len(decoded))
        decoded.clear()
    assert most >= 57  # the numbers 0 to 56, in order


def test_pictures_that_are_refreshed_in_stripes(clip):
    path = clip('stripes.mkv', frames=100, **x264(
        'intra-refresh=1:keyint=20:bframes=0:scenecut=0'))
    found = numbers_of(open_video(path).get_batch([99, 50, 31]).asnumpy())
    assert np.abs(np.subtract(found, [99, 50, 31])).max() <= 2


@pytest.mark.parametrize('name', ['h264.mp4', 'hevc.mp4', 'vp9.mp4', 'mpeg4.mp4'])
@pytest.mark.parametrize('first', [3, 17])
def test_an_edit_list_says_which_frame_is_the_first(clip, name, first):
    video = open_video(change(clip(name), b'elst', start_at(first)))
    assert 35 <= len(video) <= FRAMES - first
    for wanted in draws(len(video)):
        found = numbers_of(video.get_batch(wanted).asnumpy())
        assert np.abs(np.subtract(found, wanted) - first).max() <= 2


def test_numbers_outside(clip):
    video = open_video(clip('h264.mp4'))
    for number in (-1, FRAMES):
        with pytest.raises(DecodingError, match=f'60 frames.* {number}$'):
            video.get_batch([0, number])
        assert numbers_of(video.get_batch([31]).asnumpy()) == [31]


@pytest.mark.parametrize('name', [
    'h264.avi', 'gif.gif', 'vp8.ogv', 'mpeg4_b.avi', 'open_gop.ts', 'hevc.ts',
    'mpeg2.mpg', 'mpeg2.mkv', 'h264.flv', 'wmv2.wmv', 'uneven.ts', 'interlaced.mp4'])
def test_frames_that_are_too_large_to_hold(clip, name, monkeypatch):
    monkeypatch.setattr(video_reader, 'HELD_BYTES', 0)
    video = open_video(clip(name))
    assert not video._held
    for wanted in draws(FRAMES):
        found = numbers_of(video.get_batch(wanted).asnumpy())
        assert np.abs(np.subtract(found, wanted)).max() <= 2


@pytest.mark.parametrize('name', ['h264.mp4', 'h264.avi', 'vp9.webm'])
def test_threads(clip, name):
    path = clip(name)
    wanted = list(range(FRAMES - 1, 0, -5))
    assert (VideoReader(str(path), 2).get_batch(wanted).asnumpy() ==
            VideoReader(str(path)).get_batch(wanted).asnumpy()).all()


def test_several_streams(tmp_path):
    path = tmp_path / 'two.mkv'
    with av.open(str(path), 'w') as container:
        sound = container.add_stream('pcm_s16le', rate=8000)
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height = 96, 64
        for i in range(10):
            container.mux(sound.encode(silence()))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(
                np.full((64, 96, 3), 20 + i, np.uint8))))
        container.mux(stream.encode(None))
    assert len(open_video(path)) == 10


@pytest.mark.parametrize('matrix', [*range(1, 12), 14])
@pytest.mark.parametrize('value_range', [1, 2])
def test_colors_are_decords(tmp_path, matrix, value_range):
    path = tmp_path / 'a.mp4'
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :40], image[:30, 40:], image[30:, 40:] = (
        (200, 30, 60), (20, 180, 40), (30, 40, 220))
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuv420p'
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = value_range
        for _ in range(3):
            container.mux(stream.encode(
                av.VideoFrame.from_ndarray(image).reformat(format='yuv420p')))
        container.mux(stream.encode(None))
    ours = open_video(path).get_batch([1]).asnumpy().astype(int)
    theirs = decord.VideoReader(str(path)).get_batch([1]).asnumpy()
    assert np.abs(ours - theirs).mean() < 1
