"""Compressed vectors against all; heads that compare pairs against the inferencer."""
import os
import random
import re
from itertools import islice

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex, compressed, segment_table
from mmaction_centerclip.search.compressed import CompressedVectors, open_compressed
from mmaction_centerclip.search.records import Segments
from mmaction_centerclip.search.segment_table import SegmentTable

from .films import write_film
from .test_ranking import clustered_rows, random_rows

HEADS = {
    'wti': dict(type='WeightedTokenInteractionHead', embed_dims=16),
    'xpool': dict(type='TextConditionedPoolingHead', embed_dims=16),
    'tight': dict(type='TightTransformerHead', embed_dims=16, num_heads=2,
                  num_layers=1)}


@pytest.fixture(params=['random', 'clustered'])
def many(request, tmp_path):
    """30,000 rows in films of 30, some of which touch."""
    pytest.importorskip('faiss')
    count = 30_000
    vectors = (random_rows(count, 64) if request.param == 'random' else clustered_rows(
        np.random.default_rng(0), count).astype(np.float16))
    start = np.arange(count, dtype=float)
    return SegmentTable([f'{i}.mp4' for i in range(1000)],
                np.arange(count, dtype=np.int32) // 30,
                Segments(start, start + 1, vectors), str(tmp_path / 'my.rows.npz'))


def queries(many, count=20):
    rng = np.random.default_rng(5)
    for row in rng.integers(len(many), size=count):
        near = many.segments.vectors[row] + rng.normal(0, .1, 64)
        yield (near / np.linalg.norm(near)).astype(np.float32)


def test_compressed_search_finds_the_same_moments(many):
    found = same = 0
    for query in queries(many):
        best, best_ = (list(islice(many.rank(query, exact), 10))
                       for exact in (True, False))
        same += len({*best} & {*best_})
        exact = many.search(query, 10, -1., exact=True)
        fast = many.search(query, 10, -1., exact=False)
        found += len({hit[:2] for hit in exact} & {hit[:2] for hit in fast})
        np.testing.assert_allclose(fast[0][2], exact[0][2], atol=1e-6)
    # Moments may end a row later: scores behind the best are rounded.
    assert same >= 0.99 * 200 and found >= 0.97 * 200
    # More hits than there are candidates: all rows are compared.
    assert many.search(query, 2000, -1., exact=False) == many.search(
        query, 2000, -1., exact=True)


def test_which_rows_are_compared(many, monkeypatch):
    assert not many.is_compressed(None) and many.is_compressed(False)
    monkeypatch.setattr(segment_table, 'COMPRESSED_FROM', 30_000)
    assert many.is_compressed(None) and not many.is_compressed(True)
    few = SegmentTable(['a'], np.zeros(3, int), Segments(
        np.arange(3.), np.arange(3.) + 1, random_rows(3)), 'absent')
    assert not few.is_compressed(False) and len(few.search(
        np.ones(32, np.float32), 5, -9., exact=False)) >= 1
    monkeypatch.setattr(compressed.importlib.util, 'find_spec', lambda name: None)
    assert not many.is_compressed(None)
    with pytest.raises(InputError, match='exact=False needs faiss-cpu'):
        many.is_compressed(False)


def encrypted(content):
    """Set the flags of a zip's parts that say they need a password."""
    content = bytearray(content)
    entries = [at.start() for at in re.finditer(rb'PK\x01\x02', content)]
    assert len(entries) >= 3
    for at in entries:
        content[at + 8] |= 1
    return bytes(content)


def test_the_file_of_compressed_rows(tmp_path, monkeypatch):
    pytest.importorskip('faiss')
    path, vectors = tmp_path / 'my.rows.npz', random_rows(2000, 16)
    query = random_rows(1, 16, seed=1)[0].astype(np.float32)
    expected = open_compressed(path, vectors).best(query, 50)
    whole = path.read_bytes()
    with monkeypatch.context() as context:  # Read, and not made.
        context.setattr(CompressedVectors, 'build', None)
        np.testing.assert_array_equal(open_compressed(path, vectors).best(
            query, 50), expected)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    for content in (damaged, whole[:-100], b'', b'no array'):
        path.write_bytes(content)
        np.testing.assert_array_equal(open_compressed(path, vectors).best(
            query, 50), expected)
        assert path.read_bytes() == whole
    with np.load(path) as file:
        parts = dict(file)
    for other in (dict(codes=parts['codes'][::-1]),
                  dict(rotation=parts['rotation'] * np.nan),
                  dict(codes=parts['codes'].astype(object))):
        np.savez(path, **dict(parts, **other))
        np.testing.assert_array_equal(open_compressed(path, vectors).best(
            query, 50), expected)
    np.save(path.with_suffix('.npy'), parts['codes'])
    for content in (path.with_suffix('.npy').read_bytes(), encrypted(whole)):
        path.write_bytes(content)
        np.testing.assert_array_equal(open_compressed(path, vectors).best(
            query, 50), expected)
    rng = random.Random(0)
    for _ in range(4):
        damaged = bytearray(whole)
        for _ in range(30):  # in the names and sizes of the parts
            damaged[-rng.randrange(1, 700)] = rng.randrange(256)
        path.write_bytes(damaged)
        np.testing.assert_array_equal(open_compressed(path, vectors).best(
            query, 50), expected)
    changed = vectors.copy()
    changed[0] = query
    assert open_compressed(path, changed).best(query, 1).tolist() == [0]
    # Where it cannot be written it is made each time.
    absent = open_compressed(tmp_path / 'absent' / 'x', vectors)
    np.testing.assert_array_equal(absent.best(query, 50), expected)
    assert not [name for name in os.listdir(tmp_path) if name.endswith('.partial')]


@pytest.fixture(params=list(HEADS))
def pairs(request, tiny_config, tmp_path):
    """A model whose head compares pairs, and its index of two films."""
    cfg = Config.fromfile(tiny_config)
    cfg.model.head = HEADS[request.param]
    built = Config(cfg.to_dict())
    prepare_config(built)
    torch.save(dict(state_dict=MODELS.build(built.model).state_dict()),
               tmp_path / 'pairs.pth')
    model = VideoTextRetrievalInferencer(
        cfg, str(tmp_path / 'pairs.pth'), 'cpu', show_progress=False)
    write_film(tmp_path / 'films' / 'a.mp4', [25, 20, 30])
    write_film(tmp_path / 'films' / 'b.mp4', [3, 40])
    index = VideoIndex(tmp_path / 'pairs.index', model, window=2)
    index.add(tmp_path / 'films', batch_size=3)
    return model, index


def test_windows_are_scored_as_videos_are(pairs):
    model, index = pairs
    paths, file_of, read = index.store.load()
    assert len(file_of) == 4 + 3  # a row is a window
    windows = []
    for file, start, end in zip(file_of, read.start, read.end):
        frames = np.arange(round(start * 10), round(end * 10))
        windows.append(VideoReader(paths[file]).get_batch(frames).asnumpy())
    texts = model.encode_texts('a red circle')
    expected = model.score(texts, model.encode_videos(windows))[0].numpy()
    # Stored in float16.
    scale = float(np.abs(expected).max())
    features = [index.store.features(paths[file], start)
                for file, start in zip(file_of, read.start)]
    np.testing.assert_allclose(segment_table.head_scores(model, texts, features),
                               expected, atol=5e-3 * scale)
    hits = index.search('a red circle', topk=99)
    assert hits[0].score == pytest.approx(expected.max(), abs=5e-3 * scale)
    covered = sum(round(hit.end - hit.start, 3) for hit in hits)
    assert covered == pytest.approx(7.5 + 4.3)
    assert [hit.score for hit in hits] == sorted(
        (hit.score for hit in hits), reverse=True)
    only = index.search('a red circle', files='*b.mp4', topk=99)
    assert {hit.name for hit in only} == {'b.mp4'}


def test_only_the_first_are_ranked_anew(pairs, monkeypatch):
    model, index = pairs
    monkeypatch.setattr(segment_table, 'RERANKED', 1)
    hits = index.search('a star', topk=9)
    paths, file_of, read = index.store.load()
    vector = index.encoder.encode_query('a star')
    best = int((read.vectors.astype(np.float32) @ vector).argmax())
    assert [(hit.file, hit.start) for hit in hits] == [
        (paths[file_of[best]], read.start[best])]


def test_clips_are_found_by_vectors_and_damage_is_refused(pairs, tmp_path):
    model, index = pairs
    film = tmp_path / 'films' / 'a.mp4'
    frames = VideoReader(str(film)).get_batch(range(19)).asnumpy()
    hit = index.search(frames, topk=1)[0]
    assert (hit.name, hit.start) == ('a.mp4', 0) and hit.score > 0.95
    with pytest.raises(InputError, match='exclude needs a head of vectors'):
        index.search('a star', exclude='red')
    with index.store._opened().transaction() as connection:
        connection.execute('UPDATE segments SET features = zeroblob(68)')
    with pytest.raises(InputError, match='the features of .* differ'):
        VideoIndex(tmp_path / 'pairs.index', model).search('a star')
