"""Scores against numpy; compressed rows against all rows."""
import os
import random
from itertools import islice

import numpy as np
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import compressed, rows
from mmaction_centerclip.search.compressed import CompressedRows, open_compressed
from mmaction_centerclip.search.ranking import Ranking, exact_scores
from mmaction_centerclip.search.rows import Rows
from mmaction_centerclip.search.store import Segments

from .test_hits import clustered_rows, random_rows


@pytest.mark.parametrize('count', [1, 50, 20_000])
def test_exact_search(count):
    vectors, query = random_rows(count), random_rows(1, seed=1)[0].astype(np.float32)
    scores = exact_scores(vectors, query)
    expected = vectors.astype(np.float32) @ query
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    best = min(count, 1000)
    assert (np.argsort(-scores)[:best] == np.argsort(-expected)[:best]).mean() >= 0.99
    np.testing.assert_allclose(np.sort(scores)[-best:], np.sort(expected)[-best:],
                               atol=1e-6)
    order = list(Ranking(scores))
    assert order == np.argsort(-scores, kind='stable').tolist()
    assert Ranking(scores)[order[0]] == scores.max()


@pytest.fixture(params=['random', 'clustered'])
def many(request, tmp_path):
    """30,000 rows in films of 30, some of which touch."""
    pytest.importorskip('faiss')
    count = 30_000
    vectors = (random_rows(count, 64) if request.param == 'random' else clustered_rows(
        np.random.default_rng(0), count).astype(np.float16))
    start = np.arange(count, dtype=float)
    return Rows([f'{i}.mp4' for i in range(1000)],
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
    monkeypatch.setattr(rows, 'COMPRESSED_FROM', 30_000)
    assert many.is_compressed(None) and not many.is_compressed(True)
    few = Rows(['a'], np.zeros(3, int), Segments(
        np.arange(3.), np.arange(3.) + 1, random_rows(3)), 'absent')
    assert not few.is_compressed(False) and len(few.search(
        np.ones(32, np.float32), 5, -9., exact=False)) >= 1
    monkeypatch.setattr(compressed.importlib.util, 'find_spec', lambda name: None)
    assert not many.is_compressed(None)
    with pytest.raises(InputError, match='exact=False needs faiss-cpu'):
        many.is_compressed(False)


def encrypted(content):
    """Set the flags of a zip's parts that say they need a password."""
    entry = b'PK\x01\x02-\x03-\x00'
    assert entry + b'\0' in content
    return content.replace(entry + b'\0', entry + b'\1')


def test_the_file_of_compressed_rows(tmp_path, monkeypatch):
    pytest.importorskip('faiss')
    path, vectors = tmp_path / 'my.rows.npz', random_rows(2000, 16)
    query = random_rows(1, 16, seed=1)[0].astype(np.float32)
    expected = open_compressed(path, vectors).best(query, 50)
    whole = path.read_bytes()
    with monkeypatch.context() as context:  # Read, and not made.
        context.setattr(CompressedRows, 'build', None)
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
