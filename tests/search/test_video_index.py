"""An index of real files: kept up to date, killed, searched, cut."""
import contextlib
import csv
import os
import random
import re
import shutil
import signal
import sqlite3
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.datasets.video import video_reader
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit, VideoIndex, store
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.store import IndexStore

from ..processes import start
from .films import write_film


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / 'films'
    write_film(folder / 'long.mp4', [50, 70, 60])
    write_film(folder / 'sub' / 'short.mp4', [3])
    (folder / 'notes.txt').write_text('no video')
    (folder / 'empty.mp4').touch()
    return folder


@pytest.fixture
def index(inferencer, tmp_path):
    return VideoIndex(tmp_path / 'my.index', inferencer, window=4)


def names(paths):
    return sorted(Path(path).name for path in paths)


def test_rows_are_the_models_segments_at_their_times(index, films, inferencer):
    added = index.add(films, batch_size=2)
    assert names(added.indexed) == ['long.mp4', 'short.mp4']
    assert names(added.unreadable) == ['empty.mp4', 'notes.txt']
    assert added.unreadable[str(films / 'empty.mp4')] == 'the file is empty'
    paths, file_of, rows = index.store.load()
    own = file_of == paths.index(str(films / 'long.mp4'))
    # 18 s are five windows of 3.6 s, each of the two segments of the model.
    np.testing.assert_allclose(rows.start[own], np.arange(10) * 1.8, atol=0.051)
    np.testing.assert_allclose(rows.end[own][:-1], rows.start[own][1:])
    assert rows.end[own][-1] == pytest.approx(18)
    pipeline, model = inferencer.pipeline, inferencer.model
    video = pipeline.open(str(films / 'long.mp4'))
    for window in range(5):  # one at a time, and each segment by the formula
        sample = pipeline.prepare(video, 36 * window, 36 * (window + 1))
        with torch.no_grad():
            data = model.data_preprocessor(
                dict(inputs={k: [x] for k, x in sample['inputs'].items()},
                     data_samples=[sample['data_samples']]))
            segments, _ = model.encode_video(data['inputs'])
        expected = torch.nn.functional.normalize(segments[0], dim=-1)
        np.testing.assert_allclose(
            rows.vectors[own][2 * window:2 * window + 2], expected, atol=2e-3)
    short = file_of == paths.index(str(films / 'sub' / 'short.mp4'))
    assert rows.start[short][0] == 0 and rows.end[short][-1] == pytest.approx(0.3)


def test_only_what_changed_is_read_again(index, films):
    index.add(films)
    write_film(films / 'late.mp4', [4])
    write_film(films / 'sub' / 'short.mp4', [8])
    (films / 'long.mp4').unlink()
    added = index.add(films)
    assert names(added.indexed) == ['late.mp4', 'short.mp4']
    assert names(added.removed) == ['long.mp4']
    assert names(added.unchanged) == names(added.unreadable) == [
        'empty.mp4', 'notes.txt']
    paths, file_of, rows = index.store.load()
    assert names(paths) == ['late.mp4', 'short.mp4']
    assert rows.end.max() == pytest.approx(0.8)
    assert index.add(films).indexed == []
    with pytest.raises(InputError, match='no such folder'):
        index.add(films / 'absent')


def test_a_moved_library_is_found_by_its_content(index, films, tmp_path):
    write_film(films / 'b.mp4', [6])
    index.add(films)
    before = index.store.load()[2].vectors
    (tmp_path / 'new').mkdir()
    films.rename(tmp_path / 'new' / 'films')
    films = tmp_path / 'new' / 'films'
    # Names change too, one another's, and times of modification.
    (films / 'long.mp4').rename(films / 'x.mp4')
    (films / 'b.mp4').rename(films / 'long.mp4')
    os.utime(films / 'x.mp4')
    added = index.add(films)
    assert added.indexed == [] and {
        Path(new).name: Path(old).name for new, old in added.moved.items()} == {
            'long.mp4': 'b.mp4', 'x.mp4': 'long.mp4', 'short.mp4': 'short.mp4'}
    paths, file_of, rows = index.store.load()
    assert all(os.path.isfile(path) for path in paths)
    np.testing.assert_array_equal(np.sort(rows.vectors, 0), np.sort(before, 0))
    # In place: two change names, one is touched, and one has another content.
    (films / 'x.mp4').rename(films / 'y')
    (films / 'long.mp4').rename(films / 'x.mp4')
    (films / 'y').rename(films / 'long.mp4')
    os.utime(films / 'sub' / 'short.mp4')
    added = index.add(films)
    assert len(added.moved) + len(added.indexed) == 2 and not added.removed
    assert str(films / 'sub' / 'short.mp4') in added.unchanged
    paths, file_of, rows = index.store.load()
    ends = {Path(path).name: rows.end[file_of == i].max()
            for i, path in enumerate(paths)}
    assert ends == pytest.approx({'x.mp4': .6, 'long.mp4': 18, 'short.mp4': .3})


def test_rows_of_a_folder_that_is_gone_can_be_dropped(index, films, tmp_path):
    write_film(tmp_path / 'other' / 'a.mp4', [4])
    write_film(tmp_path / 'other' / 'b.mp4', [5])
    index.add(films)
    index.add(tmp_path / 'other')
    shutil.rmtree(films)
    with pytest.raises(InputError, match='no such folder'):
        index.add(films)
    (tmp_path / 'other' / 'b.mp4').unlink()
    assert names(index.add(tmp_path / 'other').removed) == ['b.mp4']
    removed = index.add(films, drop_missing=True).removed
    assert names(removed) == ['empty.mp4', 'long.mp4', 'notes.txt', 'short.mp4']
    assert names(index.store.files()) == ['a.mp4']
    with pytest.raises(InputError, match='no such folder'):
        index.add(tmp_path / 'typing error', drop_missing=True)


def test_folders_that_cannot_be_read_keep_their_rows(index, films, tmp_path,
                                                     monkeypatch):
    write_film(tmp_path / 'other' / 'far.mp4', [4])
    (films / 'link').symlink_to(tmp_path / 'other')
    assert names(index.add(films).indexed) == ['far.mp4', 'long.mp4', 'short.mp4']
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('/sub'):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    (tmp_path / 'other').rename(tmp_path / 'away')  # the link is broken now
    added = index.add(films)
    assert added.unreadable[str(films / 'sub')] == 'Permission denied'
    assert added.unreadable[str(films / 'link')] == 'No such file or directory'
    assert not added.removed and len(index.store.load()[0]) == 3
    assert names(index.add(films, drop_missing=True).removed) == ['far.mp4']


def test_pictures_are_left_out_unless_asked_for(index, films):
    cv2.imwrite(str(films / 'poster.jpg'), np.zeros((64, 64, 3), np.uint8))
    shutil.move(films / 'poster.jpg', films / 'thumb')  # by its content
    write_film(films / 'still.mp4', [1])
    for _ in range(2):
        assert names(index.add(films).pictures) == ['still.mp4', 'thumb']
    assert names(index.store.load()[0]) == ['long.mp4', 'short.mp4']
    added = index.add(films, pictures=True)
    assert names(added.indexed) == ['still.mp4', 'thumb'] and not added.pictures


def test_a_failed_beginning_leaves_nothing(inferencer, films, tmp_path, monkeypatch):
    index = VideoIndex(tmp_path / 'new.index', inferencer)
    (tmp_path / 'nothing').mkdir()
    for folder, message in (('absent', 'no such folder'), ('nothing', 'no files')):
        with pytest.raises(InputError, match=message):
            index.add(tmp_path / folder)
    with monkeypatch.context() as context:
        context.setattr(index.encoder, 'encode', lambda windows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.add(films)
        context.setattr(store, '_remove', lambda connection, path: 1 / 0)
        context.setattr(index.encoder, 'encode', lambda windows: None)
        with pytest.raises(ZeroDivisionError):
            index.add(films)
    assert not list(tmp_path.glob('*.index*'))
    assert len(index.add(films).indexed) == 2  # It is made where it can be.
    assert [path.name for path in tmp_path.glob('*.index*')] == ['new.index']


def test_a_file_that_was_changed_is_not_taken_for_what_it_was(index, films, tmp_path):
    index.add(films)
    hits = index.search('a red circle', topk=99)
    hit = next(hit for hit in hits if hit.name == 'short.mp4')
    assert index.changes(hits) == {}
    write_film(films / 'sub' / 'short.mp4', [9])
    (films / 'long.mp4').unlink()
    said = index.changes(hits)
    assert 'changed' in said[hit.file] and 'gone' in said[str(films / 'long.mp4')]
    for call in (lambda: index.cut(hit, tmp_path / 'clip.mp4'),
                 lambda: index.search(hit)):
        with pytest.raises(InputError, match='short.mp4 was changed since it was'):
            call()
    assert not (tmp_path / 'clip.mp4').exists()


@pytest.mark.parametrize('change', [
    'DELETE FROM settings WHERE name = "window"', 'DELETE FROM settings',
    'UPDATE settings SET value = "1e-9" WHERE name = "window"',
    'UPDATE settings SET value = "nan" WHERE name = "window"',
    'UPDATE settings SET value = "cats" WHERE name = "split"'])
def test_settings_that_no_index_has_are_refused(index, films, tmp_path, change):
    index.add(films)
    index.close()
    with contextlib.closing(sqlite3.connect(tmp_path / 'my.index')) as db, db:
        db.execute(change)
    with pytest.raises(InputError, match='it is damaged, its settings are'):
        VideoIndex(tmp_path / 'my.index', index.inferencer)


@pytest.mark.parametrize('mistake', [AttributeError, ImportError])
def test_its_own_mistakes_are_no_file_s_fault(index, films, monkeypatch, mistake):
    def fail(*_, **__):
        raise mistake('of ours')

    for place in ((VideoReader, 'get_batch'), (av, 'open')):
        with monkeypatch.context() as patch, pytest.raises(mistake) as raised:
            patch.setattr(*place, fail)
            index.add(films)
        assert str(raised.value) == 'of ours'
        assert not [thread for thread in threading.enumerate()
                    if thread.name.startswith('ThreadPoolExecutor')]
    assert names(index.add(films).indexed) == ['long.mp4', 'short.mp4']


def test_options_and_vectors_of_another_kind_are_refused(index, inferencer, tmp_path):
    for window in (1e-9, 0, -1, float('nan'), '10', True):
        with pytest.raises(InputError, match='window must be'):
            VideoIndex(tmp_path / 'x.index', inferencer, window=window)
    row = FileRecord(1, 1, index.model, index.model_name)
    index.store.put('a.mp4', row, Segments(
        np.zeros(1), np.ones(1), np.eye(6, dtype=np.float16)[:1]))
    with pytest.raises(InputError, match='vectors have 6 values and those of the mod'):
        index.search('a circle')


def test_segments_change_where_shots_do(inferencer, films, tmp_path):
    index = VideoIndex(tmp_path / 'cuts.index', inferencer, split='cuts')
    index.add(films)
    paths, file_of, rows = index.store.load()
    edges = rows.start[file_of == paths.index(str(films / 'long.mp4'))]
    # A shot is one window here: two segments.
    np.testing.assert_allclose(edges, [0, 2.5, 5, 8.5, 12, 15], atol=0.11)
    assert {0, 5, 12} <= set(edges.tolist())


def test_a_film_with_fewer_frames_than_packets(inferencer, tmp_path, monkeypatch):
    whole, path = write_film(tmp_path / 'whole.avi', [90, 90]), tmp_path / 'a' / 'a.avi'
    path.parent.mkdir()
    with av.open(str(whole)) as source, av.open(str(path), 'w') as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, 10)
        for i, packet in enumerate(p for p in source.demux(video=0) if p.size):
            if i % 20 == 15:  # the decoder passes over it
                packet = av.Packet(b'Q264\0\0\0\1\x09\xf0')
                packet.pts = packet.dts = i
            packet.stream = stream
            file.mux(packet)
    found = []
    for held in (2**28, 0):  # counted first, and found out at the end
        monkeypatch.setattr(video_reader, 'HELD_BYTES', held)
        index = VideoIndex(tmp_path / f'{held}.index', inferencer, window=4)
        assert index.add(path.parent, batch_size=3).unreadable == {}
        found.append(index.store.load()[2])
    np.testing.assert_array_equal(found[0].start, found[1].start)
    np.testing.assert_array_equal(found[0].vectors, found[1].vectors)
    assert found[1].end.max() == pytest.approx((180 - 9) / 10)


def test_adaptive_segments_are_at_the_towers_cuts(tiny_config, tiny_checkpoint,
                                                  tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.necks = [dict(
        type='TokenClustering', before_block=1, num_segments=2, num_centers=3,
        adaptive_segments=True)]
    inferencer = VideoTextRetrievalInferencer(
        cfg, tiny_checkpoint, 'cpu', show_progress=False)
    film = str(write_film(tmp_path / 'film.mp4', [12, 28]))
    index = VideoIndex(tmp_path / 'my.index', inferencer, window=4)
    index.add(tmp_path)
    pipeline = inferencer.pipeline
    sampled = pipeline.prepare(pipeline.open(film), 0, 40)['data_samples'].frame_inds
    cut = next(i for i, frame in enumerate(sampled) if frame >= 12)
    assert cut != len(sampled) / 2
    edge = (sampled[cut - 1] + sampled[cut] + 1) // 2 / 10
    _, _, rows = index.store.load()
    np.testing.assert_allclose(rows.start, [0, edge], atol=0.01)
    np.testing.assert_allclose(rows.end, [edge, 4], atol=0.01)


def test_a_shot_is_found_by_a_picture_of_it(inferencer, films, tmp_path):
    index = VideoIndex(tmp_path / 'cuts.index', inferencer, split='cuts')
    index.add(films)
    frames = VideoReader(str(films / 'long.mp4')).get_batch(range(50, 120)).asnumpy()
    hit, = index.search(frames, topk=1)
    assert (hit.name, hit.score > 0.99) == ('long.mp4', True)
    assert 5 <= hit.start < hit.end <= 12
    paths, file_of, rows = index.store.load()
    query = inferencer.encode_videos(frames).features['video'][0].numpy()
    assert hit.score == pytest.approx(
        (rows.vectors.astype(np.float32) @ query).max(), abs=1e-5)
    by_path = index.search(films / 'sub' / 'short.mp4', files='*short*', topk=99)
    assert {hit.name for hit in by_path} == {'short.mp4'}
    assert index.search('a circle', min_score=2.) == []
    with pytest.raises(InputError, match='sub: expected a video .* got a folder'):
        index.search(films / 'sub')
    with pytest.raises(InputError, match="no file like .'nothing'"):
        index.search('a circle', files='nothing')


def test_clips_and_exports(index, films, tmp_path):
    hits = [Hit(str(films / 'long.mp4'), 5., 12., 0.5),
            Hit(str(films / 'long.mp4'), 0., 1., 0.25)]
    index.cut(hits[0], tmp_path / 'clip.mp4')
    clip = VideoReader(str(tmp_path / 'clip.mp4'))
    assert len(clip) == 70 and clip.get_avg_fps() == 10
    film = VideoReader(str(films / 'long.mp4'))
    for i in (0, 69):
        difference = clip.get_batch([i]).asnumpy() - film.get_batch(
            [50 + i]).asnumpy().astype(float)
        assert np.abs(difference).mean() < 6
    index.export(hits, tmp_path / 'hits.csv')
    with open(tmp_path / 'hits.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(row['start'], row['end']) for row in rows] == [
        ('5.000', '12.000'), ('0.000', '1.000')]
    index.export(hits, tmp_path / 'hits.txt')
    with av.open(str(tmp_path / 'hits.txt'), format='ffmetadata') as file:
        chapters = file.chapters()
    assert [(c['start'], c['end']) for c in chapters] == [(0, 1000), (5000, 12000)]
    for call, message in [
            (lambda: index.cut(hits[0], tmp_path / 'clip.mp4'), 'exists already'),
            (lambda: index.cut(hits[0], tmp_path / 'clip.avi'), 'must be an .mp4'),
            (lambda: index.export(hits, tmp_path / 'x.json'), 'expected a .csv'),
            (lambda: index.export([], tmp_path / 'x.txt'), 'moments of 0'),
            (lambda: index.search('a circle'), 'no segments; add a folder')]:
        with pytest.raises(InputError, match=message):
            call()


def test_another_model_is_refused_by_name(index, films, tiny_config, tiny_checkpoint,
                                          tmp_path):
    index.add(films)
    state = torch.load(tiny_checkpoint)['state_dict']
    state['backbone.proj'] = state['backbone.proj'] + 1e-3
    torch.save(state, tmp_path / 'other.pth')
    other = VideoIndex(tmp_path / 'my.index', VideoTextRetrievalInferencer(
        tiny_config, str(tmp_path / 'other.pth'), 'cpu', show_progress=False))
    for call in (lambda: other.add(films), lambda: other.search('a circle')):
        with pytest.raises(InputError, match=f'another model: tiny.py .*{index.model}, '
                           f'got tiny.py with {other.model}; .*reindex'):
            call()
    assert names(other.add(films, reindex=True).indexed) == ['long.mp4', 'short.mp4']
    assert other.search('a circle')
    with pytest.raises(InputError, match='another model'):
        index.search('a circle')  # which sees what the other has written
    with pytest.raises(InputError, match='window must be 4.0, that of the index'):
        VideoIndex(tmp_path / 'my.index', index.inferencer, window=5)


def test_the_hash_is_the_models(tiny_config, tiny_checkpoint, index, inferencer,
                                tmp_path):
    same = VideoTextRetrievalInferencer(tiny_config, tiny_checkpoint, 'cpu')
    assert VideoIndex(tmp_path / 'a', same).model == index.model
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.necks[0].num_centers = 5
    other = VideoTextRetrievalInferencer(cfg, tiny_checkpoint, 'cpu')
    assert VideoIndex(tmp_path / 'b', other).model != index.model


def index_in_forks(config, checkpoint, path, folder, kills):
    """Index in copies of one process: three at once, or one killed at a time."""
    model = VideoTextRetrievalInferencer(config, checkpoint, 'cpu', show_progress=False)

    def fork():
        child = os.fork()
        if child:
            return child
        try:
            VideoIndex(path, model, window=2).add(folder)
        except InputError as error:
            print(error, flush=True)
            os._exit(1)
        os._exit(0)

    def done():
        with contextlib.closing(sqlite3.connect(path)) as db:
            try:
                return db.execute('SELECT count(*) FROM files').fetchone()[0]
            except sqlite3.Error:  # not made yet
                return 0

    def ended(child):
        return os.waitpid(child, os.WNOHANG)[0]

    if not kills:
        for child in [fork(), fork(), fork()]:
            print(os.waitpid(child, 0)[1] >> 8, flush=True)
    draw = random.Random(7)
    while kills:
        before = done()
        child, target = fork(), before + draw.randrange(4)
        alive = True
        while alive and done() < target:
            time.sleep(.002)
            alive = not ended(child)
        time.sleep(draw.uniform(0, .03))
        if not alive or ended(child):  # It was too fast: from the start again.
            os.unlink(path)
            continue
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills -= 1
        print(before, done(), flush=True)


@pytest.fixture
def run_forks(tiny_config, tiny_checkpoint, films, tmp_path):
    def run(kills):
        process = start(index_in_forks, tiny_config, tiny_checkpoint,
                        tmp_path / 'my.index', films, kills, log=tmp_path / 'log')
        process.join()
        said = (tmp_path / 'log').read_text()
        assert not process.exitcode, said
        return said.splitlines()

    return run


@pytest.mark.slow
def test_a_killed_process_loses_and_doubles_nothing(run_forks, films, inferencer,
                                                    tmp_path):
    write_film(films / 'long.mp4', [20, 30])
    for i in range(40):
        shutil.copy(films / 'long.mp4', films / f'{i:02}.mp4')
    said = [tuple(map(int, line.split())) for line in run_forks(10)
            if re.fullmatch(r'\d+ \d+', line)]
    assert len(said) == 10 and all(before <= after for before, after in said)
    assert len({after for _, after in said}) > 3
    kept, _, _ = IndexStore(tmp_path / 'my.index', {}).load()
    index = VideoIndex(tmp_path / 'my.index', inferencer, window=2)
    added = index.add(films)
    assert {*kept} <= {*added.unchanged}  # What was done is not done again.
    assert len(added.indexed) + len(kept) == 42
    fresh = VideoIndex(tmp_path / 'fresh.index', inferencer, window=2)
    fresh.add(films)
    (paths, files, rows), (paths_, files_, rows_) = (
        one.store.load() for one in (index, fresh))
    assert paths == paths_ and files.tolist() == files_.tolist()
    np.testing.assert_array_equal([rows.start, rows.end], [rows_.start, rows_.end])
    np.testing.assert_allclose(rows.vectors, rows_.vectors, atol=2e-3)


@pytest.mark.slow
def test_processes_at_once_are_one_after_the_other_or_refused(run_forks, films,
                                                              tmp_path):
    said = run_forks(0)
    codes = [line for line in said if line in ('0', '1')]
    refused = [line for line in said if 'another process adds to this index' in line]
    assert len(codes) == 3 and codes.count('0') >= 1
    assert codes.count('1') == len(refused)
    paths, _, _ = IndexStore(tmp_path / 'my.index').load()
    assert names(paths) == ['long.mp4', 'short.mp4']
