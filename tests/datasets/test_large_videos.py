"""Videos whose frames are not held: how often they are decoded, and what for."""
from fractions import Fraction

import av
import numpy as np
import pytest

from mmaction_centerclip.datasets.video import video_reader
from mmaction_centerclip.datasets.video.video_reader import VideoReader

from .clips import FRAMES, h264, numbers_of, of_size, write_clip

LONG = 6000  # 4 minutes


@pytest.fixture(autouse=True)
def hold_none(monkeypatch):
    monkeypatch.setattr(video_reader, 'HELD_BYTES', 0)


@pytest.fixture(scope='module')
def long_clips(tmp_path_factory):
    """Four minutes of H.264 and one of MPEG-2, each in several containers."""
    folder, made = tmp_path_factory.mktemp('long'), {}
    pixels = np.full((48, 64, 3), 90, np.uint8)
    for codec, total, kinds, options in (
            ('libx264', LONG, ('ts', 'flv', 'avi', 'h264'),
             {'preset': 'ultrafast', 'x264-params': 'bframes=2:keyint=250'}),
            ('mpeg2video', 1500, ('mpg', 'm2v'), {'g': '15', 'bf': '2'})):
        names = [folder / f'a.{kind}' for kind in kinds]
        with av.open(str(names[0]), 'w') as file:
            stream = file.add_stream(codec, rate=25, options=options)
            stream.width, stream.height = 64, 48
            for i in range(total):
                pixels[:24], pixels[24:] = i % 250, i // 250 * 10
                frame = av.VideoFrame.from_ndarray(pixels)
                frame.pts = i
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        for name in names[1:]:
            with av.open(str(names[0])) as source, av.open(str(name), 'w') as file:
                stream = file.add_stream_from_template(source.streams.video[0])
                stream.time_base = Fraction(1, 25)
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        file.mux(packet)
        made.update((name.suffix[1:], (name, total)) for name in names)
    return made


def check(frames, numbers):
    found = frames[:, 8, 30].mean(axis=1), frames[:, 40, 30].mean(axis=1) / 10
    assert np.abs(found[0] - np.array(numbers) % 250).max() <= 6
    assert (found[1].round() == np.array(numbers) // 250).all()


@pytest.mark.parametrize('kind', ['ts', 'flv', 'avi', 'h264', 'mpg', 'm2v'])
def test_all_windows_in_one_pass(kind, long_clips, decoded):
    path, total = long_clips[kind]
    reader = VideoReader(str(path))
    assert len(reader) == total
    np.testing.assert_allclose(reader.get_seconds(), np.arange(total + 1) / 25,
                               atol=1e-3)
    for first in range(0, total, 250):
        numbers = [first + 10 + 20 * i for i in range(12)]
        check(reader.get_batch(numbers).asnumpy(), numbers)
    reader.finish()
    assert len(reader) == total and len(decoded) <= 1.1 * total + 64
    decoded.clear()
    reader = VideoReader(str(path))
    for first in range(total - 200, total - 8, 32):
        check(reader.get_batch(range(first, first + 32)).asnumpy(),
              range(first, first + 32))
    most = total + 32 if kind in ('avi', 'h264', 'mpg') else 600
    assert len(decoded) <= most


def parts_of(path, places):
    """Cut the bytes of a .ts before packets of frames, behind its tables."""
    with av.open(str(path)) as file:
        found = [packet.pos for packet in file.demux(video=0) if packet.size]
    content = path.read_bytes()
    edges = [*(found[place] for place in places), len(content)]
    return [content[:564] + content[a:b] for a, b in zip(edges, edges[1:])]


@pytest.mark.parametrize('name', ['h264.ts', 'open_gop.ts', 'hevc.ts', 'mpeg2.ts'])
def test_a_recording_that_begins_anywhere(clip, name, decoded):
    path = clip(name)
    path.write_bytes(parts_of(path, [4])[0])
    with av.open(str(path)) as file:
        expected = [frame.to_ndarray(format='rgb24') for frame in file.decode(video=0)]
    reader = VideoReader(str(path))
    assert len(reader) == len(expected) < FRAMES and not reader._is_counted
    for number in (40, 3, len(reader) - 1, 0):
        assert (reader.get_batch([number]).asnumpy()[0] == expected[number]).all()
    assert reader._keys  # they were jumped to


def test_a_clock_that_is_set_anew(clip, decoded):
    path = clip('mpeg2.ts')
    path.write_bytes(path.read_bytes() * 2)
    reader = VideoReader(str(path))
    found = numbers_of(reader.get_batch([70, 90, 110]).asnumpy())
    assert len(reader) == 2 * FRAMES
    assert np.abs(np.subtract(found, [10, 30, 50])).max() <= 2
    assert (np.diff(reader.get_seconds()) > 0).all()


def test_frames_that_packets_do_not_give(tmp_path, decoded):
    # In the middle, a packet that the decoder of H.264 passes over.
    whole, path = write_clip(tmp_path / 'a.avi', **h264(12)), tmp_path / 'b.avi'
    with av.open(str(whole)) as source, av.open(str(path), 'w') as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        for i, packet in enumerate(p for p in source.demux(video=0) if p.size):
            if i == 50:
                packet = av.Packet(b'Q264\0\0\0\1\x09\xf0')
                packet.pts = packet.dts = i
            packet.stream = stream
            file.mux(packet)
    with av.open(str(path)) as file:
        expected = [frame.to_ndarray(format='rgb24') for frame in file.decode(video=0)]
    reader = VideoReader(str(path))
    assert len(reader) == FRAMES  # as yet
    reader.get_batch([20])
    reader.finish()
    assert len(reader) == len(expected) == len(reader.get_seconds()) - 1 == FRAMES - 1
    found = reader.get_batch(range(len(reader))).asnumpy()
    assert (found == np.stack(expected)).all()


def test_a_frame_again_and_backwards_is_read_on(clip, decoded):
    reader = VideoReader(str(clip('mpeg1.mpg', **of_size('mpeg1video'))))
    decoded.clear()
    for numbers in ([10, 20], [20], [21, 30]):
        reader.get_batch(numbers)
    assert len(decoded) == 31
    reader.get_batch([5])
    assert len(decoded) == 37
