"""Folders of videos that are compressed and cached, whatever interrupts it."""
import contextlib
import copy
import json
import os
import shutil
import signal
import sqlite3
import time

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config

from mmaction_centerclip.datasets.caching import frame_cache, frame_store
from mmaction_centerclip.datasets.caching.frame_cache import FrameCache
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import lock_folder
from mmaction_centerclip.utils.tables import format_bytes

from ..datasets.clips import FRAMES, h264, numbers_of, write_clip
from ..processes import kill_at_random

COMPRESS, CACHE = 'data/compress_videos.py', 'data/cache_frames.py'
MANY, FEWEST = 16, 20  # videos that are killed at, frames of the shortest


@pytest.fixture
def folder(tmp_path):
    """Videos, of which two cannot be read, and a config of them."""
    videos = tmp_path / 'videos'
    (videos / 'more').mkdir(parents=True)
    for name in ('a.mp4', 'b.avi', 'more/c.mkv'):
        write_clip(videos / name, **h264(12, 0))
    (videos / 'text.mp4').write_text('text')
    (videos / 'empty.mp4').touch()
    (videos / 'notes.txt').write_text('no video')
    write_config(tmp_path, ['a.mp4', 'b.avi', 'more/c.mkv', 'text.mp4', 'gone.mp4'])
    return tmp_path


def write_config(path, names):
    (path / 'captions.json').write_text(json.dumps({name: ['a'] for name in names}))
    loader = dict(
        dataset=dict(
            type='VideoTextRetrievalDataset', ann_file='captions.json',
            data_root=str(path), data_prefix=dict(video='videos'),
            pipeline=[
                dict(type='VideoInit', cache=str(path / 'frames.db')),
                dict(type='SampleFramesWithMask', clip_len=4),
                dict(type='VideoDecode'),
                dict(type='Resize', scale=(-1, 32)),
                dict(type='FormatShape', input_format='NCHW'),
                dict(type='PackActionInputs', collect_keys=('imgs', ))]))
    cfg = Config(dict(default_scope='mmaction', train_dataloader=loader))
    cfg.val_dataloader = loader
    cfg.val_dataloader.dataset.test_mode = True
    cfg.val_dataloader.dataset.pipeline[1].test_mode = True
    cfg.dump(path / 'config.py')


def test_compressing_a_folder(folder, run_tool):
    args = folder / 'videos', '--out', folder / 'out', '--num-workers', 2
    said = run_tool(COMPRESS, *args)
    assert said.startswith('error: 2 of 5 videos were not compressed')
    out = folder / 'out'
    assert sorted(str(p.relative_to(out)) for p in out.rglob('*') if p.is_file()) == [
        '.lock', 'a.mp4', 'b.avi', 'compression.json', 'more/c.mkv']
    report = json.loads((out / 'compression.json').read_text())
    assert set(report['compressed']) == {'a.mp4', 'b.avi', 'more/c.mkv'}
    assert 'empty' in report['failed']['empty.mp4']
    assert 'cannot be decoded' in report['failed']['text.mp4']
    assert 'no results on the originals' in report['warning']
    for name in report['compressed']:
        video = VideoReader(str(out / name))
        assert len(video) == 8 and video.get_avg_fps() == 3
    for name in ('text.mp4', 'empty.mp4'):
        (folder / 'videos' / name).unlink()
    assert '0 videos compressed' in (said := run_tool(COMPRESS, *args))
    assert '3 were there' in said and 'no results on the originals' in said
    assert 'other options' in run_tool(COMPRESS, *args, '--fps', 0)
    said = run_tool(COMPRESS, folder / 'videos', '--out', folder / 'all', '--fps', 0)
    assert '180 frames compared' in said and 'the same frames' in said


def test_one_run_at_a_time(folder, run_tool):
    out = folder / 'out'
    pid = os.fork()
    if not pid:
        lock_folder(str(out), '', '')
        (out / 'held').touch()
        time.sleep(60)
        os._exit(0)
    try:
        while not (out / 'held').exists():
            time.sleep(.01)
        said = run_tool(COMPRESS, folder / 'videos', '--out', out)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert said.startswith('error: ') and 'another run writes there' in said
    (out / '.a.mp4.1f2e3d4c.partial').touch()  # as a kill leaves it
    (out / 'thesis.partial').write_text('precious')
    run_tool(COMPRESS, folder / 'videos', '--out', out)
    assert [path.name for path in out.rglob('*.partial')] == ['thesis.partial']


@pytest.mark.parametrize('args, message', [
    (('absent', 'out'), 'no such folder'), (('videos', 'videos'), 'another folder'),
    (('out', 'all'), 'no videos'),
    (('videos', 'out', '--short-side', '3'), 'short_side')])
def test_folders_and_options_that_cannot_be(folder, run_tool, args, message):
    (folder / 'out').mkdir()
    videos, out, *options = args
    said = run_tool(COMPRESS, folder / videos, '--out', folder / out, *options)
    assert said.startswith('error: ') and message in said


def cached_frames(folder, name):
    """Read all of a video's frames without the video."""
    cache = FrameCache(str(folder / 'frames.db'),
                       resize=dict(type='Resize', scale=(-1, 32)), add='none')
    path = str(folder / 'videos' / name)
    video = cache.open(path, lambda: VideoReader(path))
    return video, video.stored()


@pytest.mark.slow
def test_caching_what_a_config_draws(folder, run_tool):
    said = run_tool(CACHE, folder / 'config.py', '--splits', 'val', '--num-workers', 2)
    assert said.startswith('error: 2 of 5 videos were not cached')
    for name in ('a.mp4', 'b.avi', 'more/c.mkv'):
        assert cached_frames(folder, name)[1] == {7, 22, 37, 52}
    # In training any frame may be drawn.
    write_config(folder, ['a.mp4', 'b.avi'])
    said = run_tool(CACHE, folder / 'config.py', '--num-workers', 2)
    assert '128 of 128 frames of 2 videos are cached' in said
    size = (folder / 'frames.db').stat().st_size
    assert f'frames.db: {format_bytes(size)}\n' in said
    video, stored = cached_frames(folder, 'a.mp4')
    assert stored == set(range(FRAMES))
    found = numbers_of(np.stack(video.get_batch(range(FRAMES)).asnumpy()))
    assert np.abs(np.subtract(found, range(FRAMES))).max() <= 2
    assert len(cached_frames(folder, 'more/c.mkv')[1]) == 4
    with sqlite3.connect(folder / 'frames.db') as file:
        recipe, = file.execute('SELECT DISTINCT recipe FROM videos').fetchone()
    assert 'Resize' in recipe and recipe.endswith('jpeg; 90')


@pytest.mark.slow
def test_a_full_disk_ends_the_caching(folder, run_tool, monkeypatch):
    write_config(folder, ['a.mp4', 'b.avi'])
    monkeypatch.setattr(frame_store, 'SCHEMA', (
        *frame_store.SCHEMA[:2], frame_store.SCHEMA[2].replace(
            'crc INTEGER', "crc INTEGER CHECK (crc < 0)")))
    for options in ((), ('--splits', 'val')):
        said = run_tool(CACHE, folder / 'config.py', '--num-workers', 1, *options)
        assert said.startswith('error: ') and 'frames.db cannot be used as' in said


@pytest.mark.slow
def test_of_a_clip_its_own_frames_are_cached(folder, run_tool, monkeypatch):
    (folder / 'captions.json').write_text(json.dumps(dict(schema_version=1, videos=[
        dict(id='1', video='a.mp4', captions=['a'], start=0.5, end=1.5),
        dict(id='2', video='a.mp4', captions=['b'], start=1, end=2),
        dict(id='3', video='more/c.mkv', captions=['c'], start=1)])))
    cfg = Config.fromfile(folder / 'config.py')
    cfg.train_dataloader.dataset.captions = 'random'

    def samples(split, **cache):
        dataset = copy.deepcopy(cfg[f'{split}_dataloader'].dataset)
        dataset.pipeline[0].cache = dict(
            path=str(folder / 'frames.db'), codec='raw',
            resize=dict(dataset.pipeline[3]), **cache) if cache else None
        dataset = DATASETS.build(dataset)
        dataset.set_epoch(0, 0)
        return [dataset[i]['inputs']['imgs'] for i in range(3)]

    expected = {split: samples(split) for split in ('val', 'train')}
    rate = VideoReader(str(folder / 'videos/a.mp4')).get_avg_fps()
    for split, count in (('val', 4), ('train', int(rate))):
        said = run_tool(CACHE, folder / 'config.py', '--splits', split,
                        '--num-workers', 1, '--codec', 'raw')
        assert 'frames of 2 videos are cached' in said
        with contextlib.closing(sqlite3.connect(folder / 'frames.db')) as file:
            numbers = [number for number, in file.execute(
                'SELECT id & 4294967295 FROM frames ORDER BY id')]
        assert len(set(numbers)) >= count and min(numbers) >= rate / 2
        with monkeypatch.context() as patch:
            patch.setattr(frame_cache.CachedVideo, '_open', None)  # nothing opens one
            for one, other in zip(samples(split, add='none'), expected[split]):
                assert torch.equal(one, other)


def test_a_config_of_another_kind(folder, run_tool):
    cfg = Config.fromfile(folder / 'config.py')
    cfg.train_dataloader.dataset.pipeline[0] = dict(type='DecordInit')
    cfg.dump(folder / 'config.py')
    said = run_tool(CACHE, folder / 'config.py')
    assert said.startswith('error: ') and 'VideoInit' in said
    cfg.train_dataloader.dataset.pipeline[0] = dict(type='VideoInit')
    cfg.dump(folder / 'config.py')
    assert '--cache names the file' in run_tool(CACHE, folder / 'config.py')


@pytest.fixture
def many(tmp_path):
    names = [f'{i}.mp4' for i in range(MANY)]
    (tmp_path / 'videos').mkdir()
    for i, name in enumerate(names):
        write_clip(tmp_path / 'videos' / name, frames=FEWEST + i, **h264())
    write_config(tmp_path, names)
    return tmp_path


@pytest.mark.slow
def test_compressing_is_killed_at_any_moment(many, run_tool):
    out = many / 'out'
    args = many / 'videos', '--out', out, '--fps', 0, '--num-workers', 2
    seen = []

    def check():
        done = [path for path in out.glob('*.mp4')]
        seen.append(len(done))
        for path in done:
            count = FEWEST + int(path.stem)
            found = numbers_of(
                VideoReader(str(path)).get_batch(range(count)).asnumpy())
            assert np.abs(np.subtract(found, range(count))).max() <= 3

    kill_at_random(COMPRESS, args, 10, check,
                   lambda: shutil.rmtree(out, ignore_errors=True),
                   lambda: len(list(out.glob('*.mp4'))), MANY)
    time.sleep(1)  # The last processes end.
    assert len(set(seen)) > 2
    run_tool(COMPRESS, *args)
    check()
    assert seen[-1] == MANY
    assert len(list(out.iterdir())) == MANY + 2  # and nothing that a kill has left


def tables_of(path):
    with contextlib.closing(sqlite3.connect(path)) as file:
        return file.execute('SELECT name FROM sqlite_master').fetchall()


def test_a_cache_that_was_just_begun(tmp_path):
    """A reader says so, and who fills it goes on."""
    path = str(tmp_path / 'frames.db')
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute('PRAGMA journal_mode = WAL')
    assert not tables_of(path)
    with pytest.raises(InputError, match='it is empty, as a process leaves it'):
        FrameCache(path, add='none')
    FrameCache(path)
    assert tables_of(path)


@pytest.mark.slow
def test_caching_is_killed_at_any_moment(many, run_tool):
    args = many / 'config.py', '--num-workers', 2, '--splits', 'train'
    seen = []

    def check():
        path = many / 'frames.db'
        if not path.exists() or not tables_of(path):  # killed as it made the file
            return
        seen.append(0)
        for i in range(MANY):
            video, stored = cached_frames(many, f'{i}.mp4')
            # A video's frames are there together or not at all.
            assert len(stored) in (0, FEWEST + i)
            if stored:
                seen[-1] += 1
                all_of_it = range(FEWEST + i)
                found = numbers_of(np.stack(video.get_batch(all_of_it).asnumpy()))
                assert np.abs(np.subtract(found, all_of_it)).max() <= 2

    def restart():
        for path in many.glob('frames.db*'):
            path.unlink()

    def progress():
        try:
            with contextlib.closing(sqlite3.connect(
                    f'file:{many / "frames.db"}?mode=rw', uri=True)) as file:
                return file.execute('SELECT COUNT(DISTINCT id >> 32) FROM frames'
                                    ).fetchone()[0]
        except sqlite3.OperationalError:  # not there yet, or being made
            return 0

    kill_at_random(CACHE, args, 10, check, restart, progress, MANY)
    assert len(set(seen)) > 2
    run_tool(CACHE, *args)
    check()
    assert seen[-1] == MANY
    with sqlite3.connect(many / 'frames.db') as file:
        assert file.execute('PRAGMA integrity_check').fetchone() == ('ok', )
