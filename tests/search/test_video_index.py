"""An index of real files: kept up to date, killed, searched, cut."""
import csv
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.datasets.transforms import VideoReader, video_reader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit, VideoIndex
from mmaction_centerclip.search.store import IndexStore

from ..paths import ROOT
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
    (films / 'late.mp4').write_bytes((films / 'sub' / 'short.mp4').read_bytes())
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


def test_a_shot_is_found_by_a_picture_of_it(inferencer, films, tmp_path):
    index = VideoIndex(tmp_path / 'cuts.index', inferencer, split='cuts')
    index.add(films)
    frames = VideoReader(str(films / 'long.mp4')).get_batch(range(50, 120)).asnumpy()
    matches = index.search(frames, topk=1)
    hit, = matches.hits
    assert (hit.name, hit.score > 0.99) == ('long.mp4', True)
    assert 5 <= hit.start < hit.end <= 12
    paths, file_of, rows = index.store.load()
    query = inferencer.encode_videos(frames).features['video'][0].numpy()
    assert hit.score == pytest.approx(
        (rows.vectors.astype(np.float32) @ query).max(), abs=1e-5)
    by_path = index.search(films / 'sub' / 'short.mp4', files='*short*', topk=99)
    assert {hit.name for hit in by_path.hits} == {'short.mp4'}
    assert index.search('a circle', min_score=2.).hits == []
    with pytest.raises(InputError, match='sub: expected a video .* got a folder'):
        index.search(films / 'sub')
    with pytest.raises(InputError, match="no file like .'nothing'"):
        index.search('a circle', files='nothing')


def test_clips_and_exports(index, films, tmp_path):
    hits = [Hit(str(films / 'long.mp4'), 5., 12., 0.5, True, 0.01),
            Hit(str(films / 'long.mp4'), 0., 1., 0.25, False, 0.5)]
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
    assert other.search('a circle').hits
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


SCRIPT = '''
import contextlib, os, random, signal, sqlite3, sys, time
from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex

config, checkpoint, path, folder, kills = sys.argv[1:]
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


if kills == '0':
    for child in [fork(), fork(), fork()]:
        print(os.waitpid(child, 0)[1] >> 8, flush=True)
draw, kills = random.Random(7), int(kills)
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
'''


@pytest.fixture
def run_script(tiny_config, tiny_checkpoint, films, tmp_path):
    """Index in processes that begin as copies of one, which imports once."""
    (tmp_path / 'script.py').write_text(SCRIPT)

    def run(kills):
        return subprocess.run(
            [sys.executable, '-W', 'ignore', tmp_path / 'script.py', tiny_config,
             tiny_checkpoint, tmp_path / 'my.index', films, str(kills)],
            check=True, capture_output=True, text=True,
            env=dict(os.environ, PYTHONPATH=str(ROOT))).stdout.splitlines()

    return run


@pytest.mark.slow
def test_a_killed_process_loses_and_doubles_nothing(run_script, films, inferencer,
                                                    tmp_path):
    for i in range(60):
        shutil.copy(films / 'long.mp4', films / f'{i:02}.mp4')
    said = [tuple(map(int, line.split())) for line in run_script(20)]
    assert len(said) == 20 and all(before <= after for before, after in said)
    assert len({after for _, after in said}) > 5
    kept, _, _ = IndexStore(tmp_path / 'my.index', {}).load()
    index = VideoIndex(tmp_path / 'my.index', inferencer, window=2)
    added = index.add(films)
    assert {*kept} <= {*added.unchanged}  # What was done is not done again.
    assert len(added.indexed) + len(kept) == 62
    fresh = VideoIndex(tmp_path / 'fresh.index', inferencer, window=2)
    fresh.add(films)
    (paths, files, rows), (paths_, files_, rows_) = (
        one.store.load() for one in (index, fresh))
    assert paths == paths_ and files.tolist() == files_.tolist()
    np.testing.assert_array_equal([rows.start, rows.end], [rows_.start, rows_.end])
    np.testing.assert_allclose(rows.vectors, rows_.vectors, atol=2e-3)


@pytest.mark.slow
def test_processes_at_once_are_one_after_the_other_or_refused(run_script, index, films,
                                                              tmp_path):
    index.store.close()
    (tmp_path / 'my.index').unlink()
    said = run_script(0)
    codes = [line for line in said if line in ('0', '1')]
    refused = [line for line in said if 'another process adds to this index' in line]
    assert len(codes) == 3 and codes.count('0') >= 1
    assert codes.count('1') == len(refused)
    paths, _, _ = IndexStore(tmp_path / 'my.index').load()
    assert names(paths) == ['long.mp4', 'short.mp4']
