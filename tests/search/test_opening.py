"""Which indexes are read into memory, and searches of one that is not."""
import os
from pathlib import Path

import numpy as np
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex, compressed, opening
from mmaction_centerclip.search.opening import open_table
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.store import IndexStore

from .test_ranking import random_rows
from .test_stored_vectors import fill


def test_what_is_large(tmp_path, monkeypatch):
    pytest.importorskip('faiss')
    few = fill(tmp_path / 'few.index', 'a', rows=256)
    assert open_table(few, exact=False).compressed is None  # all would be candidates
    store = fill(tmp_path / 'my.index', 'ab')

    def is_compressed(exact=None):
        return open_table(store, exact).compressed is not None

    assert not is_compressed() and is_compressed(exact=False)
    monkeypatch.setattr(opening, 'COMPRESSED_FROM', 1400)
    assert is_compressed() and is_compressed(exact=True)
    monkeypatch.setattr(opening, 'COMPRESSED_FROM', 1401)
    assert not is_compressed()
    monkeypatch.setattr(opening, 'COMPRESSED_FROM', 1400)
    monkeypatch.setattr(compressed.importlib.util, 'find_spec', lambda name: None)
    assert not is_compressed()
    with pytest.raises(InputError, match='exact=False needs faiss-cpu'):
        is_compressed(exact=False)


def test_a_large_index_is_searched_as_a_small_one(inferencer, tmp_path):
    pytest.importorskip('faiss')
    index = VideoIndex(tmp_path / 'my.index', inferencer)
    paths = [str(tmp_path / f'{name}.mp4') for name in 'abcde']
    for path in paths:
        Path(path).touch()
    width = len(index.encoder.encode_query('a star'))
    start = np.arange(300.)
    index.store.put_all((
        path, FileRecord(0, os.stat(path).st_mtime_ns, index.model, index.model_name),
        Segments(start, start + 1, random_rows(300, width, seed)))
        for seed, path in enumerate(reversed(paths)))
    queries = dict(query='a star', topk=5), dict(
        query='a star', exclude='a circle', files=['*a.mp4', '*c.mp4'], topk=5)
    expected = [index.search(**query) for query in queries]
    hits = [index.search(**query, exact=False) for query in queries]
    for found in (hits, [index.search(**query, exact=True) for query in queries]):
        for own, other in zip(found, expected):
            assert [hit[:3] for hit in map(tuple_of, own)] == [
                hit[:3] for hit in map(tuple_of, other)]
            np.testing.assert_allclose([hit.score for hit in own],
                                       [hit.score for hit in other], atol=1e-3)
    moment = hits[0][0]
    assert index.search(moment, topk=1, exact=False)[0].file == moment.file
    assert index.lengths() == dict.fromkeys(paths, 300.)
    assert index.are_near(hits[0]).diagonal().all()
    IndexStore(index.store.path).remove([moment.file])  # as another process does
    left = index.search('a star', topk=5, exact=False)
    assert left and moment.file not in {hit.file for hit in left}


def tuple_of(hit):
    return hit.file, hit.start, hit.end
