"""Heads that compare pairs, against the inferencer on every window."""
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex, reranking

from .films import write_film

HEADS = {
    'wti': dict(type='WeightedTokenInteractionHead', embed_dims=16),
    'xpool': dict(type='TextConditionedPoolingHead', embed_dims=16),
    'tight': dict(type='TightTransformerHead', embed_dims=16, num_heads=2,
                  num_layers=1)}


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
    paths, file_of, rows = index.store.load()
    assert len(file_of) == 4 + 3  # a row is a window
    windows = []
    for file, start, end in zip(file_of, rows.start, rows.end):
        frames = np.arange(round(start * 10), round(end * 10))
        windows.append(VideoReader(paths[file]).get_batch(frames).asnumpy())
    texts = model.encode_texts('a red circle')
    expected = model.score(texts, model.encode_videos(windows))[0].numpy()
    # Stored in float16.
    scale = float(np.abs(expected).max())
    features = [index.store.features(paths[file], start)
                for file, start in zip(file_of, rows.start)]
    np.testing.assert_allclose(reranking.head_scores(model, texts, features),
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
    monkeypatch.setattr(reranking, 'RERANKED', 1)
    hits = index.search('a star', topk=9)
    paths, file_of, rows = index.store.load()
    vector = index._encoder.encode_query('a star')
    best = int((rows.vectors.astype(np.float32) @ vector).argmax())
    assert [(hit.file, hit.start) for hit in hits] == [
        (paths[file_of[best]], rows.start[best])]


def test_clips_are_found_by_vectors_and_damage_is_refused(pairs, tmp_path):
    model, index = pairs
    film = tmp_path / 'films' / 'a.mp4'
    frames = VideoReader(str(film)).get_batch(range(19)).asnumpy()
    hit = index.search(frames, topk=1)[0]
    assert (hit.name, hit.start) == ('a.mp4', 0) and hit.score > 0.95
    with pytest.raises(InputError, match='exclude needs a head of vectors'):
        index.search('a star', exclude='red')
    index.store._db.execute('UPDATE segments SET features = zeroblob(68)')
    with pytest.raises(InputError, match='the features of .* differ'):
        VideoIndex(tmp_path / 'pairs.index', model).search('a star')
