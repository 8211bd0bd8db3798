"""Videos that are cut off or damaged, and files that are none."""
import av
import numpy as np
import pytest
from av.error import FFmpegError
from av.stream import Disposition

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError

from .clips import numbers_of, open_video, silence


def packet_of(path, number):
    """Where a packet begins in the file, and its size."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return packets[number].pos, packets[number].size


@pytest.mark.parametrize('number, source', [
    (14, 'name'), (31, 'name'), (31, 'bytes'), (55, 'name')])
@pytest.mark.parametrize('name', [
    'mpeg4.avi', 'mpeg4_b.avi', 'mjpeg.avi', 'h264.avi', 'faststart.mp4',
    'fragmented.mp4', 'mjpeg.mov', 'h264.mkv', 'vp8.webm', 'mpeg2.ts',
    'h264.flv', 'gif.gif', 'ffv1.mkv'])
def test_cut_off_in_a_packet(clip, name, source, number):
    path = clip(name)
    start, size = packet_of(path, number)
    path.write_bytes(path.read_bytes()[:start + size // 2])
    try:
        video = open_video(path, source)
    except (DecodingError, FFmpegError):
        # Its index is gone, or all that came so far.
        assert name in ('mjpeg.mov', 'fragmented.mp4') or number == 14
        return
    assert number - 4 <= len(video) <= number + 1
    found = numbers_of(video.get_batch(range(len(video))).asnumpy())
    if name in ('h264.mkv', 'mpeg2.ts', 'h264.flv'):
        # Their end is not seen to be early: the last may be a later frame.
        found.pop()
    assert np.abs(np.subtract(found, range(len(found)))).max(initial=0) <= 2


@pytest.mark.parametrize('name', ['vp9.mp4', 'av1.mp4', 'prores.mov', 'png.avi'])
def test_damaged_in_the_middle(clip, name):
    path = clip(name, codec='png', pixels='rgb24') if 'png' in name else clip(name)
    start, size = packet_of(path, 31)
    content = bytearray(path.read_bytes())
    content[start:start + size] = b'\xff' * size
    path.write_bytes(content)
    with pytest.raises(DecodingError) as error:
        open_video(path).get_batch([31, 58])
    assert 'codec is' in str(error.value) and '\n' not in str(error.value)


def test_not_a_video(clip, tmp_path):
    path = tmp_path / 'a.wav'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        container.mux(stream.encode(silence()))
    with pytest.raises(DecodingError, match='has no video stream'):
        open_video(path)
    path = clip('h264.mp4')
    path.write_bytes(path.read_bytes().replace(b'avc1', b'xxx1'))
    with pytest.raises(DecodingError, match='its codec is not known'):
        open_video(path)
    (tmp_path / 'list.mp4').write_text("ffconcat version 1.0\nfile 'h264.mp4'\n")
    (tmp_path / 'drawn.txt').write_text('some text ' * 100)
    for name, kind in (('list.mp4', 'concat'), ('drawn.txt', 'tty')):
        with pytest.raises(DecodingError, match=f'is no video .{kind}'):
            open_video(tmp_path / name)
    (tmp_path / 'text.mp4').write_text('this is not a video\n' * 40)
    with pytest.raises(FFmpegError, match='Invalid data'):
        open_video(tmp_path / 'text.mp4')


def test_the_picture_of_a_sound(tmp_path):
    path = tmp_path / 'a.m4a'
    with av.open(str(path), 'w', format='mp4') as container:
        sound = container.add_stream('aac', rate=8000)
        picture = container.add_stream('png', rate=1)
        picture.width, picture.height, picture.pix_fmt = 96, 64, 'rgb24'
        picture.disposition = Disposition.attached_pic
        container.mux(picture.encode(av.VideoFrame(96, 64, 'rgb24')))
        container.mux(sound.encode(silence()))
        container.mux(sound.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video
    with pytest.raises(DecodingError, match='has no video stream'):
        open_video(path)


def test_frames_of_no_size(clip):
    path = clip('raw.avi', codec='rawvideo', pixels='yuv420p')
    size = (40).to_bytes(4, 'little') + (96).to_bytes(4, 'little')
    content = path.read_bytes()
    assert content.count(size) == 1
    path.write_bytes(content.replace(size, size[:4] + bytes(4)))
    with pytest.raises(DecodingError, match='no size .its codec is rawvideo'):
        open_video(path)
