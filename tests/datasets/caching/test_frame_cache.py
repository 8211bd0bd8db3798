"""Frames from a cache are those of the videos, whatever happens to either."""
import os
import pickle
import shutil
import sqlite3

import numpy as np
import pytest
from mmaction.datasets.transforms import UniformSample

from mmaction_centerclip.datasets.transforms import (
    OpenCLIPResize,
    SampleFramesWithMask,
    VideoDecode,
    VideoInit,
)
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError

from ...paths import SHARED
from ..caches import only_cached, open_video, read
from ..clips import FRAMES, h264, numbers_of, write_clip

# Of which frame i has the brightness i.
TRIALS = [path for path in sorted((SHARED / 'trials' / 'videos').glob('*'))
          if path.stem not in ('hdr', 'hflip', 'sar', 'vfr')]
REAL = [path for path in sorted((SHARED / 'videos').glob('*')) if path.suffix != '.md']
RESIZE = dict(type='OpenCLIPResize')


def run(pipeline, path):
    results = dict(filename=str(path), start_index=0, modality='RGB')
    for step in pipeline:
        results = step(results)
    return results


@pytest.mark.parametrize('codec', ['jpeg', 'raw'])
@pytest.mark.parametrize('name', ['h264.mp4', 'mpeg4.avi', 'vp9.webm', 'uneven.mkv'])
def test_the_same_frames(clip, cache, codec, name):
    path, options = clip(name), cache(codec=codec)
    rng = np.random.default_rng(0)
    for wanted in ([59, 0, 59], *rng.integers(FRAMES, size=(4, 12))):
        found = read(options, path, wanted)
        assert np.abs(np.subtract(numbers_of(found), wanted)).max() <= 2
        exact = VideoReader(str(path)).get_batch(wanted).asnumpy()
        differ = np.abs(found.astype(int) - exact)
        assert differ.mean() < 2 and (codec == 'jpeg' or differ.max() == 0)
        # The second time they are those of the first, to the last bit.
        assert (only_cached(options, path, wanted) == found).all()
    known, reader = open_video(options, path), VideoReader(str(path))
    assert (len(known), known.get_avg_fps()) == (FRAMES, reader.get_avg_fps())


@pytest.mark.skipif(not REAL, reason='needs the real clips')
@pytest.mark.parametrize('path', REAL + TRIALS, ids=lambda path: path.name)
def test_real_videos(path, cache):
    reader = VideoReader(str(path))
    wanted = np.linspace(0, len(reader) - 1, 12).astype(int)
    options = cache(resize=RESIZE)
    frames = list(reader.get_batch(wanted).asnumpy())
    exact = np.stack(OpenCLIPResize().transform(
        dict(imgs=frames, img_shape=frames[0].shape[:2]))['imgs'])
    for found in (read(options, path, wanted), only_cached(options, path, wanted)):
        assert np.abs(found.astype(int) - exact).mean(axis=(1, 2, 3)).mean() < 2
        if path in TRIALS:
            assert np.abs(found.mean(axis=(1, 2, 3)) - 20 - wanted).max() <= 3


@pytest.mark.parametrize('sample', [
    SampleFramesWithMask(12), SampleFramesWithMask(12, test_mode=True),
    SampleFramesWithMask(12, frames_per_second=1), UniformSample(12),
    UniformSample(12, test_mode=True), SampleFramesWithMask(80)])
def test_pipelines_give_the_same_frames(clip, tmp_path, sample):
    path = clip('h264.mp4')
    pipeline = [sample, VideoDecode(), OpenCLIPResize()]
    options = dict(path=str(tmp_path / 'frames.db'), resize=RESIZE, codec='raw')
    cached = VideoInit(cache=options)
    for epoch in range(3):
        results = []
        for init in (VideoInit(), cached):
            np.random.seed(epoch)
            results.append(run([init, *pipeline], path))
        plain, found = results
        assert plain['frame_inds'].tolist() == found['frame_inds'].tolist()
        assert (np.stack(plain['imgs']) == np.stack(found['imgs'])).all()
        assert plain['img_shape'] == found['img_shape'] == (224, 224)
        assert plain['resizing'] == found['resizing']


def test_frames_that_are_repeated_can_be_changed_apart(clip, cache):
    for codec in ('raw', 'jpeg'):
        for _ in range(2):
            first, second = open_video(cache(codec=codec), clip('h264.mp4')).get_batch(
                [7, 7]).asnumpy()
            first[:] = 0
            assert second.max() > 0


def test_what_is_added(clip, cache):
    path = clip('h264.mp4')
    read(cache(), path, [3, 5])
    only_cached(cache(add='none'), path, [5, 3])
    with pytest.raises(AssertionError, match='opened'):  # and no neighbour is given
        only_cached(cache(add='none'), path, [4])
    assert numbers_of(read(cache(add='none'), path, [4])) == [4]
    with pytest.raises(AssertionError, match='opened'):  # nor was it added
        only_cached(cache(), path, [4])
    read(cache(add='all'), path, [4])
    found = only_cached(cache(add='none'), path, range(FRAMES))
    assert np.abs(np.subtract(numbers_of(found), range(FRAMES))).max() <= 2


def test_options_have_frames_of_their_own(clip, cache):
    path = clip('h264.mp4')
    variants = [dict(), dict(quality=50), dict(codec='raw'), dict(resize=RESIZE),
                dict(resize=dict(RESIZE, model='ViT-L-14-336')),
                dict(resize=dict(type='Resize', scale=(-1, 32)))]
    shapes = {}
    for number, options in enumerate(variants):
        with pytest.raises(AssertionError, match='opened'):
            only_cached(cache(**options), path, [3])
        shapes[number] = read(cache(**options), path, [3]).shape[1:3]
    assert shapes == {0: (64, 96), 1: (64, 96), 2: (64, 96), 3: (224, 224),
                      4: (336, 336), 5: (32, 48)}
    # Of two models that get the same pictures they are the same.
    only_cached(cache(resize=dict(RESIZE, model='ViT-B-16')), path, [3])


def test_a_changed_video_never_gives_old_frames(clip, cache, tmp_path):
    path = clip('h264.mp4')
    read(cache(), path, range(FRAMES))
    before, content = os.stat(path), bytearray(path.read_bytes())
    # Of the same size and time: one byte of the first frame's picture.
    content[content.index(b'mdat') + 900] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns
    with pytest.raises(AssertionError, match='opened'):
        only_cached(cache(), path, [3])
    write_clip(path, frames=20, **h264(5))
    video = open_video(cache(), path)
    assert len(video) == 20
    with pytest.raises(DecodingError, match='20 frames'):
        video.get_batch([30])
    video.get_batch([3]).asnumpy()
    # What no file has any more leaves room.
    with sqlite3.connect(tmp_path / 'made' / 'frames.db') as file:
        assert file.execute('SELECT count(*) FROM frames').fetchone() == (1, )


def test_a_video_that_changes_while_it_is_read_is_not_stored(clip, cache):
    path = clip('h264.mp4')
    video = open_video(cache(), path)
    os.utime(path, ns=(1, 1))
    video.get_batch([3])
    with pytest.raises(AssertionError, match='opened'):
        only_cached(cache(), path, [3])


def test_copies_and_touched_videos_are_known(clip, cache, tmp_path):
    path = clip('h264.mp4')
    found = read(cache(), path, [3, 5])
    copy = shutil.copy(path, tmp_path / 'copy.mp4')
    assert (only_cached(cache(), copy, [3, 5]) == found).all()
    os.utime(path, ns=(1, 1))
    assert (only_cached(cache(), path, [3, 5]) == found).all()
    content = path.read_bytes()
    video = cache().open(content, lambda: pytest.fail('opened'))
    assert len(video) == FRAMES


def test_size_limit(cache, tmp_path, caplog):
    limited, path = cache(codec='raw', max_gib=1 / 1024), tmp_path / 'noise.mp4'
    write_clip(path, **h264())
    for _ in range(2):
        for first in range(0, FRAMES, 10):
            found = read(limited, path, range(first, first + 10))
            assert np.abs(np.subtract(
                numbers_of(found), range(first, first + 10))).max() <= 2
    files = list((tmp_path / 'made').iterdir())
    assert (tmp_path / 'made' / 'frames.db').stat().st_size <= 2**20
    assert sum(file.stat().st_size for file in files) <= 2**20 + 2**24
    stored = limited.store.numbers(limited.store.find_content(
        open_video(limited, path)._content, limited.recipe).id)
    assert 20 <= len(stored) < FRAMES


def fork(function, *args):
    """Call a function in a process of its own; its id, for waitpid."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            function(*args)
            status = 0
        finally:
            os._exit(status)
    return pid


def test_two_processes_write_at_once(clip, cache):
    paths = [clip(f'{i}.mp4', **h264(), frames=30 + i) for i in range(6)]

    def work(order):
        for path in order:
            for first in range(10):
                read(cache(), path, [first, first + 10])

    children = [fork(work, order) for order in (paths, paths[::-1], paths)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    for path in paths:
        found = numbers_of(only_cached(cache(), path, range(20)))
        assert np.abs(np.subtract(found, range(20))).max() <= 2


def test_workers_have_connections_of_their_own(clip, cache):
    path, options = clip('h264.mp4'), cache()
    read(options, path, [3])
    copy = pickle.loads(pickle.dumps(options))
    assert numbers_of(only_cached(copy, path, [3])) == [3]
    assert os.waitpid(fork(read, options, path, [4]), 0)[1] == 0
    assert numbers_of(only_cached(options, path, [3, 4])) == [3, 4]


@pytest.mark.parametrize('options, message', [
    (dict(path=''), 'name of a file'), (dict(path=3), 'path must be a text'),
    (dict(codec='png'), 'codec'), (dict(quality=101), 'quality'),
    (dict(quality=0), 'quality'), (dict(add='some'), 'add'),
    (dict(max_gib=0), 'max_gib'), (dict(size=3), 'size'), (dict(), 'path'),
    (dict(resize='OpenCLIPResize'), 'resize'),
    (dict(resize=dict(type='Resize', scale=.5)), 'resize'),
    (dict(add='none', path='absent.db'), 'absent.db')])
def test_options(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    if options and 'path' not in options:
        options = dict(options, path='frames.db')
    with pytest.raises(InputError, match=message):
        VideoInit(cache=options)
    assert not (tmp_path / 'frames.db').exists()
