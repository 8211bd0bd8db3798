"""Pictures and times are those that a player shows: geometry, light, and clips."""
import io
from fractions import Fraction

import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmaction.utils import register_all_modules
from PIL import Image, ImageOps

from mmaction_centerclip.datasets import AnnotationEntry, annotation_text
from mmaction_centerclip.datasets.video.shown_frames import narrow_to_clip
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError

from .caches import open_video as open_cached
from .clips import FRAMES, h264, open_video
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


register_all_modules()
PIPELINE = [
    dict(type='VideoInit'), dict(type='SampleFramesWithMask', clip_len=6),
    dict(type='VideoDecode'), dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', context_length=16),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask'))]


@pytest.fixture
def frames_of(clip, tmp_path):
    """The frames that the dataset gives of clips, and all 60 of the video."""
    path = clip('ffv1.mkv')

    def read(times, pipeline=PIPELINE, test_mode=True):
        entries = [AnnotationEntry(path.name, ['a caption'], str(i), *time)
                   for i, time in enumerate(times)]
        (tmp_path / 'a.json').write_text(annotation_text(entries, 'test'))
        pipeline = [dict(step) for step in pipeline]
        if 'clip_len' in pipeline[1]:
            pipeline[1]['test_mode'] = test_mode
        dataset = DATASETS.build(dict(
            type='VideoTextRetrievalDataset', ann_file='a.json', test_mode=test_mode,
            data_root=str(tmp_path), pipeline=pipeline, max_refetch=0))
        samples = [dataset[i] for i in range(len(dataset))]
        return [
            sample['data_samples'].reason if sample['data_samples'].get('missing') else
            sample['inputs']['imgs'].permute(0, 2, 3, 1).numpy()
            for sample in samples]

    every = open_video(path).get_batch(range(FRAMES)).asnumpy()
    return read, every


@pytest.mark.parametrize('start, end, first, last', [
    (None, None, 0, FRAMES), (.4, None, 10, FRAMES), (None, .8, 0, 20),
    (.4, .8, 10, 20), (2, 99, 50, FRAMES), (1, 1.16, 25, 29), (1, 1.001, 25, 26)])
def test_frames_of_a_clip(start, end, first, last, frames_of):
    read, every = frames_of
    found, = read([(start, end)])
    # The obvious slow way: the middle frame of each of six parts of the list.
    inside = [i for i in range(FRAMES) if first <= i < last]
    parts = len(inside) / 6
    expected = [inside[int(parts / 2 + parts * i)] for i in range(6)] if (
        len(inside) > 6) else (inside + inside[-1:] * 6)[:6]
    assert (found == every[expected]).all()
    drawn, = read([(start, end)], test_mode=False)
    assert all((frame == every[inside]).all(axis=(1, 2, 3)).any() for frame in drawn)


def test_the_zoos_sampling_keeps_to_a_clip(frames_of):
    pipeline = [PIPELINE[0], dict(type='UniformSample', clip_len=4), *PIPELINE[2:5],
                dict(type='PackActionInputs', collect_keys=('imgs', 'text'))]
    read, every = frames_of
    for frames, inside in zip(read([(.4, .8), (1.2, 2)], pipeline),
                              (every[10:20], every[30:50])):
        assert all((frame == inside).all(axis=(1, 2, 3)).any() for frame in frames)


def test_a_clip_behind_the_end_is_missing(frames_of):
    whole, behind = frames_of[0]([(0, 1), (5, 6)])
    assert len(whole) == 6
    assert behind == 'ends at 2.40 s, before its clip from 5 s on'


def test_a_pipeline_that_cannot_is_refused(frames_of):
    with pytest.raises(InputError, match='no step of the pipeline says the total'):
        frames_of[0]([(0, 1)], [
            PIPELINE[4], dict(type='PackActionInputs', collect_keys=('text', ))])
    with pytest.raises(InputError, match='a step that opens the video'):
        narrow_to_clip(dict(frame_inds=[0], total_frames=3), 0, 1)


def phone(i):
    """Milliseconds: 20 frames at 5 a second, then 30 a second."""
    return 200 * i if i < 20 else 4000 + round(1000 / 30 * (i - 20))


def pauses(i):
    """Milliseconds: each frame stands for a second and a half, later for 40 ms."""
    return 1500 * i if i < 10 else 15000 + 40 * (i - 10)


@pytest.mark.parametrize('name', ['phone.mp4', 'phone.mkv', 'pauses.ts', 'pauses.mp4'])
def test_times_are_those_of_the_file(clip, name, cache):
    times = phone if 'phone' in name else pauses
    path = clip(name, times=times, **h264())
    shown = np.array([times(i) for i in range(FRAMES)]) / 1000
    readers = [open_video(path)] + [open_cached(cache(), path) for _ in range(2)]
    readers[1].get_batch([3])  # from then on known without opening the video
    for reader in [*readers, cache().open(str(path), lambda: pytest.fail('opened'))]:
        def opened(reader=reader):
            return dict(filename=name, video_reader=reader, total_frames=len(reader),
                        avg_fps=reader.get_avg_fps())

        for start, end in ((0, 4), (4, 5), (None, 2.2), (.5, 1), (4, None), (3.1, 3.2)):
            results = opened()
            narrow_to_clip(results, start, end)
            inside = [i for i, time in enumerate(shown)
                      if (start or 0) <= time < (end or 99)]
            # Else the one that is on the screen then.
            inside = inside or [np.flatnonzero(shown <= start)[-1]]
            assert results['start_index'] == inside[0]
            assert results['total_frames'] == len(inside)
        sample = TRANSFORMS.build(dict(
            type='SampleFramesWithMask', clip_len=99, frames_per_second=2))
        results = sample(opened())
        at = np.arange(0, shown[-1] + 1e-3, .5)
        expected = sorted({np.flatnonzero(shown <= t + 1e-3)[-1] for t in at})
        assert results['frame_inds'][results['frame_mask']].tolist() == expected
