"""Vectors in a file against those in memory."""
import numpy as np
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search.opening import open_table
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.store import IndexStore

from .test_ranking import random_rows


def fill(path, names, rows=700, width=16):
    """Make an index of films; the vectors of each are told by its name."""
    store = IndexStore(path, {})
    start = np.arange(float(rows))
    for name in names:
        store.put(name, FileRecord(0, 0, '', ''), Segments(
            start, start + 1, random_rows(rows, width, seed=ord(name[0]))))
    return store


def test_they_are_those_in_memory(tmp_path):
    pytest.importorskip('faiss')
    store = fill(tmp_path / 'my.index', 'cab')
    store.remove('a')
    store = fill(tmp_path / 'my.index', 'a')
    paths, file_of, expected = store.load()
    table = open_table(store, exact=False)
    own = table.segments
    assert table.paths == paths == ['a', 'b', 'c']
    np.testing.assert_array_equal(table.file_of, file_of)
    np.testing.assert_array_equal(own.start, expected.start)
    np.testing.assert_array_equal(own.end, expected.end)
    rng = np.random.default_rng(0)
    for numbers in (np.arange(2100), np.arange(0), rng.integers(2100, size=50),
                    rng.permutation(2100), np.array([7, 8, 9, 2000])):
        vectors = own.vectors[numbers]
        assert vectors.dtype == np.float16
        np.testing.assert_array_equal(vectors, expected.vectors[numbers])
        query = random_rows(1, seed=9)[0, :16].astype(np.float32)
        np.testing.assert_allclose(
            own.vectors.scores(query, numbers),
            expected.vectors[numbers].astype(np.float32) @ query, atol=1e-6)


@pytest.mark.parametrize('damage', [
    'UPDATE segments SET vector = zeroblob(32) WHERE rowid = 5',
    'UPDATE segments SET vector = zeroblob(30) WHERE rowid = 5',
    'DELETE FROM segments WHERE rowid = 5'])
def test_damage_behind_its_back_is_told(tmp_path, damage):
    pytest.importorskip('faiss')
    store = fill(tmp_path / 'my.index', 'ab')
    vectors = open_table(store, exact=False).segments.vectors
    with store._opened().transaction() as connection:
        connection.execute(damage)
    assert len(vectors[np.arange(5, 20)]) == 15
    with pytest.raises(InputError, match='segments are not as they were written'):
        vectors[np.arange(20)]
