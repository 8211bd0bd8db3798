import functools
import http.server
import json
import os
import signal
import threading

import av
import cv2
import decord
import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmaction.utils import register_all_modules
from mmcv.transforms import Compose

from mmaction_centerclip.datasets.doctor.videos import find_decoders
from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    decoding_errors,
)
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError

from .clips import CLIPS, h264, numbers_of, write_clip

register_all_modules()
PIPELINE = [
    dict(type='VideoInit'),
    dict(type='SampleFramesWithMask', clip_len=6, test_mode=True),
    dict(type='VideoDecode'),
]


def reasons_of(filename, read):
    with pytest.raises(DecodingError) as error, decoding_errors(str(filename)):
        read()
    assert str(error.value) == f'{filename}: {error.value.reason}'
    return error.value.reason


def load(path, *pipeline, **results):
    return Compose(pipeline or PIPELINE)(
        dict(filename=str(path), start_index=0, **results))


def evaluate(folder, names, *reading):
    """Samples of an evaluation with the zoo's transforms."""
    (folder / 'test.json').write_text(json.dumps({n: ['a'] for n in names}))
    dataset = DATASETS.build(dict(
        type='VideoTextRetrievalDataset', ann_file='test.json', test_mode=True,
        data_root=str(folder), pipeline=[
            dict(type=reading[0]),
            dict(type='UniformSample', clip_len=4, test_mode=True),
            dict(type=reading[1]), dict(type='FormatShape', input_format='NCHW'),
            dict(type='OpenCLIPTokenize', context_length=16),
            dict(type='PackActionInputs', collect_keys=('imgs', 'text'))]))
    return [dataset[i]['data_samples'] for i in range(len(dataset))]


@pytest.fixture
def patience():
    """Ends what waits."""

    def give_up(*args):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def serve(tmp_path):
    """The folder, by http."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


def text(content):
    return b'this is not a video' * 40


def blank_frames(content):
    start, end = content.index(b'mdat') + 4, content.index(b'moov') - 4
    return content[:start] + bytes(end - start) + content[end:]


@pytest.mark.parametrize('spoil, kind', [
    (text, RuntimeError), (blank_frames, decord.DECORDError)])
def test_both_errors_of_decord_are_the_videos(tmp_path, shapes, spoil, kind):
    path = tmp_path / 'a.mp4'
    path.write_bytes(spoil((shapes / 'videos/test0000.mp4').read_bytes()))

    def read():
        decord.VideoReader(str(path)).get_batch([0])

    with pytest.raises(kind) as error:
        read()
    assert type(error.value) is kind
    reason = reasons_of(path, read)
    assert reason.startswith('cannot be decoded (') and '\n' not in reason
    if spoil is blank_frames:
        assert reason.endswith('; its codec is mpeg4)')


@pytest.mark.parametrize('error, reason', [
    (FileNotFoundError('a.mp4'), 'no such file'),
    (PermissionError(13, 'Permission denied'),
     'cannot be read ([Errno 13] Permission denied)'),
    (OSError('first\nsecond'), 'cannot be read (first)'),
    (OSError(), 'cannot be read (OSError)'),
])
def test_errors_of_the_system_are_the_videos(error, reason):

    def fail():
        raise error

    assert reasons_of('a.mp4', fail) == reason


def test_an_empty_file_is_not_opened(tmp_path):
    (tmp_path / 'a.mp4').touch()
    assert reasons_of(tmp_path / 'a.mp4', None) == 'the file is empty'


@pytest.mark.parametrize('error', [
    KeyError('imgs'), IndexError(3), RuntimeError('shapes differ'),
    ValueError('empty caption')])
def test_mistakes_of_a_pipeline_pass(error):
    with pytest.raises(type(error)) as raised, decoding_errors('a.mp4'):
        raise error
    assert raised.value is error


@pytest.mark.parametrize('decode', ['VideoDecode', 'DecordDecode'])
@pytest.mark.parametrize('sampler', [
    dict(type='SampleFramesWithMask', clip_len=6),
    dict(type='UniformSample', clip_len=6, test_mode=True),
    dict(type='SampleFrames', clip_len=3, frame_interval=5, num_clips=2),
    dict(type='SampleFrames', clip_len=1)])
def test_samplers_and_names_of_the_zoo(tmp_path, decode, sampler):
    path = write_clip(tmp_path / 'a.avi', **CLIPS['h264_p.avi'])
    out = load(path, dict(type='VideoInit', num_threads=1), sampler,
               dict(type=decode))
    assert (out['total_frames'], out['avg_fps']) == (60, 25)
    assert out['img_shape'] == out['original_shape'] == (64, 96)
    found = numbers_of(np.stack(out['imgs']))
    assert np.abs(found - np.ravel(out['frame_inds'])).max() <= 2
    assert out['video_reader'] is None


def test_less_than_a_frame_a_second(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', frames=5, times=lambda i: 3000 * i,
                      **h264())
    out = load(path, dict(type='VideoInit'), dict(
        type='SampleFramesWithMask', clip_len=8, frames_per_second=1),
               dict(type='VideoDecode'))
    assert 0 < out['avg_fps'] < 1 and out['frame_mask'].sum() == 5
    assert out['frame_inds'].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]


def make(path, what):
    if what == 'folder':
        path.mkdir()
    elif what == 'pipe':
        os.mkfifo(path)
    elif what == 'text':
        path.write_text('this is not a video\n' * 40)
    elif what == 'nothing':
        path.touch()
    elif what == 'unknown codec':
        write_clip(path, **h264())
        path.write_bytes(path.read_bytes().replace(b'avc1', b'xxx1'))


@pytest.mark.parametrize('what, reason', [
    ('folder', 'is a folder, expected a video file'),
    ('pipe', 'not a regular file'), ('missing', 'no such file'),
    ('text', 'cannot be decoded (Invalid data found when processing input)'),
    ('nothing', 'the file is empty'),
    ('unknown codec', 'cannot be decoded (its codec is not known to PyAV)')])
def test_what_is_no_video_is_named(tmp_path, patience, what, reason):
    path = tmp_path / 'a.mp4'
    make(path, what)
    with pytest.raises(DecodingError) as error:
        load(path)
    assert str(error.value) == f'{path}: {reason}'


@pytest.mark.parametrize('reading', [
    ('DecordInit', 'DecordDecode'), ('PyAVInit', 'PyAVDecode'),
    ('OpenCVInit', 'OpenCVDecode'), ('VideoInit', 'VideoDecode')])
def test_every_decoder_fails_by_a_counted_skip(tmp_path, patience, reading):
    kinds = ('folder', 'pipe', 'missing', 'text', 'nothing', 'unknown codec')
    for kind in kinds:
        make(tmp_path / f'{kind}.mp4', kind)
    write_clip(tmp_path / 'good.mp4', **h264())
    names = [f'{kind}.mp4' for kind in kinds] + ['good.mp4']
    *bad, good = evaluate(tmp_path, names, *reading)
    assert not good.missing
    for sample in bad:
        assert sample.missing and sample.reason and '\n' not in sample.reason


@pytest.mark.parametrize('name, codec, reading', [
    ('av1.mp4', 'av1', ('DecordInit', 'DecordDecode')),
    ('gif.gif', 'gif', ('DecordInit', 'DecordDecode')),
    ('vp9.webm', 'vp9', ('PyAVInit', 'PyAVDecode')),
    ('h264.mkv', 'h264', ('PyAVInit', 'PyAVDecode'))])
def test_the_codec_is_named_where_a_decoder_lacks_it(tmp_path, name, codec,
                                                     reading):
    write_clip(tmp_path / name, **CLIPS[name])
    sample, = evaluate(tmp_path, [name], *reading)
    assert sample.missing and f'its codec is {codec}' in sample.reason
    sample, = evaluate(tmp_path, [name], 'VideoInit', 'VideoDecode')
    assert not sample.missing


def test_names_with_signs(tmp_path):
    for name in ('a:b.mp4', 'pipe:0.mp4', '%03d.mp4', 'ä ?#[].mp4', '-i.mp4'):
        path = write_clip(tmp_path / 'a.mp4', **h264()).rename(tmp_path / name)
        assert load(path)['total_frames'] == 60


def test_a_picture_is_no_pattern(tmp_path):
    for name, level in (('b000.png', 10), ('b001.png', 30), ('c%03d.png', 50),
                        ('d*.png', 70), ('e[0-9].png', 90), ('f{1,2}.jpg', 110)):
        picture = np.full((64, 96, 3), level, np.uint8)
        (tmp_path / name).write_bytes(cv2.imencode(name[-4:], picture)[1].tobytes())
        results = load(tmp_path / name)
        assert results['total_frames'] == 1
        assert abs(results['imgs'][0].mean() - level) <= 1
    for name in ('b%03d.png', 'b*.png', 'b00[01].png'):
        with pytest.raises(DecodingError, match='no such file'):
            load(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            VideoReader(str(tmp_path / name))
    with pytest.raises(IsADirectoryError):
        VideoReader(str(tmp_path))


def test_http(tmp_path, serve):
    write_clip(tmp_path / 'a.avi', **CLIPS['h264.avi'])
    (tmp_path / 'b.avi').write_text('no video')
    out = load(f'{serve}/a.avi')
    assert np.abs(numbers_of(np.stack(out['imgs'])) - out['frame_inds']).max() <= 2
    names = [f'{serve}/{name}.avi' for name in 'abc']
    samples = evaluate(tmp_path, names, 'VideoInit', 'VideoDecode')
    assert [sample.missing for sample in samples] == [False, True, True]
    assert '404' in samples[2].reason


@pytest.mark.parametrize('name', ['s3://bucket/a.mp4', 'ftp://host/a.mp4'])
def test_urls_that_nothing_reads_are_refused(tmp_path, name):
    with pytest.raises(InputError) as error:
        load(name)
    message = str(error.value)
    assert message.startswith(f'{name}: expected a local file or a URL')
    assert '\n' not in message


def test_another_backend(tmp_path):
    path = write_clip(tmp_path / 'a.avi', **CLIPS['mpeg4_b.avi'])
    init = TRANSFORMS.build(dict(type='VideoInit', io_backend='local'))
    video = init(dict(filename=str(path)))['video_reader']
    assert np.abs(np.subtract(numbers_of(
        video.get_batch([41, 3]).asnumpy()), [41, 3])).max() <= 2


@pytest.mark.parametrize('error', [
    TypeError("open() got an unexpected keyword argument"), AttributeError('rate'),
    NameError('av'), ImportError('av')])
def test_mistakes_in_code_are_not_the_videos(monkeypatch, shapes, error):

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(av, 'open', fail)
    path = shapes / 'videos/test0000.mp4'
    with pytest.raises(type(error)) as raised:
        load(path, dict(type='VideoInit'))
    assert raised.value is error
    with pytest.raises(type(error)):
        find_decoders(str(path))
