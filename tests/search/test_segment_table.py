"""Compressed vectors against all; heads that compare pairs against the inferencer."""
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
from mmaction_centerclip.search import VideoIndex, segment_table
from mmaction_centerclip.search.opening import open_table
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.store import IndexStore

from .films import write_film
from .test_ranking import clustered_rows, random_rows

HEADS = {
    'wti': dict(type='WeightedTokenInteractionHead', embed_dims=16),
    'xpool': dict(type='TextConditionedPoolingHead', embed_dims=16),
    'tight': dict(type='TightTransformerHead', embed_dims=16, num_heads=2,
                  num_layers=1)}


@pytest.fixture(params=['random', 'clustered'])
def store(request, tmp_path):
    """30,000 rows in 1,000 films of 30."""
    pytest.importorskip('faiss')
    count = 30_000
    vectors = (random_rows(count, 128) if request.param == 'random' else clustered_rows(
        np.random.default_rng(0), count, 128).astype(np.float16))
    start = np.arange(30.)
    store = IndexStore(tmp_path / 'my.index', {})
    store.put_all((f'{i:03}.mp4', FileRecord(0, 0, '', ''), Segments(
        start, start + 1, vectors[30 * i:30 * i + 30])) for i in range(1000))
    return store


def queries(vectors, count=20):
    rng = np.random.default_rng(5)
    for row in rng.integers(len(vectors), size=count):
        near = vectors[row] + rng.normal(0, .07, vectors.shape[1])
        yield (near / np.linalg.norm(near)).astype(np.float32)


def test_a_large_index_gives_the_moments_of_one_in_memory(store):
    memory, disk = open_table(store), open_table(store, exact=False)
    assert memory.compressed is None and disk.compressed is not None
    files = np.arange(1000) % 3 == 0
    found = same = best = 0
    for query in queries(memory.segments.vectors):
        expected = memory.search(query, 10, -1.)
        for some, own in ((None, expected), (files, memory.search(
                query, 10, -1., files=files))):
            fast = disk.search(query, 10, -1., False, some)
            found += len({hit[:2] for hit in own} & {hit[:2] for hit in fast})
            np.testing.assert_allclose(fast[0][2], own[0][2], atol=1e-3)
            exact = disk.search(query, 10, -1., True, some)
            same += len({hit[:2] for hit in own} & {hit[:2] for hit in exact})
        best += len({*islice(memory.rank(query), 10)}
                    & {*islice(disk.rank(query, False), 10)})
    # Moments may end a row later: the memory's scores behind the best are rounded.
    assert found >= .97 * 400 and same >= .97 * 400 and best == 200
    # More hits than there are candidates: at last all rows are compared.
    most = disk.search(query, 2000, -1., exact=False)
    assert len(most) == 2000 and [hit[2] for hit in most] == sorted(
        (hit[2] for hit in most), reverse=True)
    few = np.arange(1000) < 2
    assert disk.search(query, 3, -1., False, few) == disk.search(
        query, 3, -1., True, few)


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
