"""Pictures are those that a player shows: geometry and light."""
import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmaction_centerclip.datasets.video.video_reader import VideoReader

from .pictures import HDR, corners_of, grey, is_shown, picture, pq, write_pictures

# a, b, c and d of the display matrix, and the same by numpy.
TURNS = [
    ((1, 0, 0, 1), lambda x: x), ((-1, 0, 0, 1), np.fliplr),
    ((1, 0, 0, -1), np.flipud), ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    ((0, 1, -1, 0), lambda x: np.rot90(x, -1)), ((0, -1, 1, 0), np.rot90),
    ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
    ((0, -1, -1, 0), lambda x: np.rot90(x, 2).swapaxes(0, 1))]


def write(*args, **kwargs):
    return VideoReader(str(write_pictures(*args, **kwargs)))


def frame_of(video, number=0):
    return video.get_batch([number]).asnumpy()[0]


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
@pytest.mark.parametrize('matrix, expected', TURNS)
def test_turns_and_mirrors(tmp_path, matrix, expected, suffix):
    video = write(tmp_path / f'a.{suffix}', [picture()] * 3, matrix=matrix)
    assert is_shown(frame_of(video, 2), expected(picture()))


def test_matrices_that_are_no_quarters(tmp_path):
    for name, matrix, expected in [
            ('odd', (.8, .6, -.6, .8), picture()),
            ('nearly', (0.001, 1, -1, 0.001), np.rot90(picture(), -1)),
            ('larger', (0, 2, 2, 0), picture().swapaxes(0, 1))]:
        video = write(tmp_path / f'{name}.mp4', [picture()], matrix=matrix)
        assert is_shown(frame_of(video), expected), name


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
def test_photos(kind):
    for orientation in range(1, 9):
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        Image.fromarray(picture()).save(file, kind, exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert('RGB'))
        assert is_shown(frame_of(VideoReader(file.getvalue())), expected), orientation


@pytest.mark.parametrize('name, codec, sar, shape', [
    ('a.mp4', 'libx264', (64, 45), (144, 256)),
    ('a.mkv', 'libx264', (64, 45), (144, 256)),
    ('a.ts', 'mpeg2video', (64, 45), (144, 256)),
    ('a.mpg', 'mpeg2video', (64, 45), (144, 256)),
    ('a.avi', 'mpeg4', (64, 45), (144, 256)),
    ('tall.mp4', 'libx264', (8, 9), (162, 180)),
    ('unbelievable.mp4', 'libx264', (200, 1), (144, 180))])
def test_pixels_become_square(tmp_path, name, codec, sar, shape):
    video = write(tmp_path / name, [picture(144, 180)] * 3, codec, sar=Fraction(*sar))
    assert is_shown(frame_of(video, 1), picture(*shape))


def test_turned_pixels_that_are_not_square(tmp_path):
    video = write(tmp_path / 'a.mp4', [picture(144, 180)], sar=Fraction(64, 45),
                 matrix=(0, 1, 1, 0))
    assert is_shown(frame_of(video), picture(144, 256).swapaxes(0, 1))


@pytest.mark.parametrize('name, codec', [
    ('a.mp4', 'libx264'), ('a.ts', 'libx264'), ('a.webm', 'libvpx'), ('a.avi', 'mpeg4'),
    ('a.h264', 'libx264')])
def test_another_size_is_fitted_into_the_first(tmp_path, name, codec):
    sizes = [(96, 128)] * 3 + [(128, 64)] * 3 + [(48, 128)] * 3 + [(192, 256)] * 3
    video = write(tmp_path / name, [picture(*size) for size in sizes], codec)
    frames = video.get_batch([0, 4, 7, 10]).asnumpy()
    assert frames.shape == (4, 96, 128, 3)
    for frame, (top, bottom, left, right) in zip(frames, [
            (0, 96, 0, 128), (0, 96, 40, 88), (24, 72, 0, 128), (0, 96, 0, 128)]):
        inner = frame[top:bottom, left:right].copy()
        assert np.abs(corners_of(inner) - corners_of(picture()).astype(int)).max() < 12
        frame[top:bottom, left:right] = 0
        assert not frame.any()


@pytest.mark.parametrize('name, codec', [
    ('a.mp4', 'libx265'), ('a.webm', 'libsvtav1')])
def test_light_of_hdr(tmp_path, name, codec):
    # Of HLG, 0.75 and 0.5 are 203 and 51 nits on a display of 1,000.
    for transfer, signal, nits in [
            (16, pq(203), 203), (16, pq(50), 50), (16, pq(1000), 1000), (18, .75, 203),
            (18, .5, 1000 / 12**1.2)]:
        video = write(tmp_path / name, [grey(signal)] * 2, codec, 'yuv420p10le',
                     tags=(*HDR, ('color_trc', transfer)))
        expected = 255 * min(1, nits / 203)**(1 / 2.4)
        found = video.get_batch([1]).asnumpy()
        assert np.abs(found - expected).max() < 4, (transfer, nits)


def test_hue_of_hdr(tmp_path):
    # Red and white of BT.709 at 203 nits, and an orange of 10 times the light.
    from_709 = np.array([[.6274, .3293, .0433], [.0691, .9195, .0114],
                         [.0164, .0880, .8956]])
    for light, expected in [((1, 0, 0), (255, 0, 0)), ((1, 1, 1), (255, 255, 255)),
                            ((10, 5, 1), (255, 191, 98))]:
        r, g, b = pq(203 * from_709 @ light)
        y = .2627 * r + .678 * g + .0593 * b
        values = (64 + 876 * y, 512 + 896 * (b - y) / 1.8814,
                  512 + 896 * (r - y) / 1.4746)
        frame = grey(0)
        for plane, value in zip(frame.planes, values):
            plane.update(np.full(
                plane.buffer_size // 2, round(value), np.uint16).tobytes())
        video = write(tmp_path / 'a.mp4', [frame], 'libx265', 'yuv420p10le',
                     tags=(*HDR, ('color_trc', 16)))
        found = video.get_batch([0]).asnumpy()[0, 32, 32]
        assert np.abs(found - np.array(expected)).max() < 20, light


def test_another_shape_of_pixels_of_the_same_size(tmp_path):
    # Of television: a film of 16:9 behind an advertisement of 4:3.
    parts = []
    for i, ratio in enumerate([Fraction(16, 15), Fraction(64, 45)]):
        name = tmp_path / f'{i}.mpg'
        write(name, [picture(144, 180)] * 20, 'mpeg2video', sar=ratio)
        parts.append(name.read_bytes())
    (tmp_path / 'a.mpg').write_bytes(b''.join(parts))
    frames = VideoReader(str(tmp_path / 'a.mpg')).get_batch([0, 39]).asnumpy()
    assert frames.shape == (2, 144, 192, 3)
    for frame, top in zip(frames, (0, 18)):
        inner = frame[top:144 - top]
        assert np.abs(corners_of(inner) - corners_of(picture()).astype(int)).max() < 12
    assert not frames[1, :17].any() and not frames[1, -17:].any()
