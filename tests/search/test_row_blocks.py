"""What beside an index is made, kept and made anew."""
import os
import shutil

import numpy as np
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import row_blocks
from mmaction_centerclip.search.compressed import Quantizer
from mmaction_centerclip.search.opening import open_table
from mmaction_centerclip.search.records import FileRecord
from mmaction_centerclip.search.row_blocks import RowBlocks

from .test_ranking import random_rows
from .test_stored_vectors import fill


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Films of 700 rows, two a block."""
    pytest.importorskip('faiss')
    monkeypatch.setattr(row_blocks, 'SEGMENTS', 1000)
    return fill(tmp_path / 'my.index', 'abcde')


@pytest.fixture
def encoded(monkeypatch):
    """How many rows have been encoded."""
    counts, encode = [], Quantizer.encode
    monkeypatch.setattr(Quantizer, 'encode', lambda self, vectors: (
        counts.append(len(vectors)), encode(self, vectors))[1])
    return counts


def best(store):
    """The number of rows, and the best by a search of the compressed ones."""
    query = random_rows(1, 16, seed=1)[0].astype(np.float32)
    codes = open_table(store, exact=False).compressed
    return [len(codes.numbers), *np.sort(codes.best(query, 50))]


def contents(store):
    folder = f'{store.path}.rows'
    return {name: open(os.path.join(folder, name), 'rb').read()
            for name in os.listdir(folder)}


def test_what_is_new_is_encoded_and_the_rest_kept(store, encoded):
    first = best(store)
    assert encoded == [1400, 1400, 700] and len(contents(store)) == 4
    assert best(store) == first
    assert encoded == [1400, 1400, 700]  # read, and not made
    del encoded[:]
    fill(store.path, 'f', rows=300)
    assert best(store)[0] == 3800 and encoded == [300]
    del encoded[:]
    fill(store.path, 'g', rows=300)  # with what the last block, not half full, had
    assert best(store)[0] == 4100 and encoded == [600]
    del encoded[:]
    store.remove('c')  # whose block had another one
    assert best(store)[0] == 3400 and encoded == [700]
    assert len(contents(store)) == 5


def test_what_is_damaged_is_made_again(store, encoded):
    expected, whole = best(store), contents(store)
    folder = f'{store.path}.rows'
    np.save(os.path.join(folder, 'x.npy'), np.array([{}], object))
    pickled = open(os.path.join(folder, 'x.npy'), 'rb').read()
    for name, content in whole.items():
        middle = bytearray(content)
        # Of a block, in front of what the next test damages.
        middle[len(content) // (4 if name.endswith('.npy') else 2)] ^= 1
        head = bytearray(content)
        head[40] ^= 1
        for damaged in (middle, head, content[:-100], b'', b'no array', pickled):
            with open(os.path.join(folder, name), 'wb') as file:
                file.write(damaged)
            assert best(store) == expected
            assert contents(store) == whole
    assert not [name for name in os.listdir(folder) if name.endswith('.partial')]


def test_damage_of_what_is_read_later(store, capsys):
    expected = best(store)
    for name, content in contents(store).items():
        if name.endswith('.npy'):
            content = np.frombuffer(content, np.uint8) ^ np.uint8(
                np.arange(len(content)) > .9 * len(content))
            with open(os.path.join(f'{store.path}.rows', name), 'wb') as file:
                file.write(content)
    count, *found = best(store)  # and all whose codes are damaged, to be compared
    assert count == expected[0] and {*found} > {*expected[1:]}
    assert 'index.rows: codes are damaged, and searches slow; delete' in ''.join(
        capsys.readouterr())
    shutil.rmtree(f'{store.path}.rows')
    assert best(store) == expected


def test_the_best_of_several_blocks(store):
    """Of an odd number of segments, too, behind which arrays are not aligned."""
    fill(store.path, 'f', rows=301)
    table = open_table(store, exact=False)
    assert len(contents(store)) == 4 and len(table.compressed._parts) == 3
    for query in random_rows(20, 16, seed=2).astype(np.float32):
        scores = np.concatenate([
            table.segments.vectors[part].astype(np.float32) @ query
            for part in np.array_split(np.arange(len(table)), 4)])
        own = {*table.compressed.best(query, 100)}
        assert len(own) == 100 and len(own & {*np.argsort(-scores)[:10]}) >= 9


def test_a_block_without_segments(store):
    expected = best(store)
    store.put('f', FileRecord(0, 0, '', ''), None)
    assert best(store) == expected


def test_rows_that_vacuum_has_moved(store, encoded):
    store.remove('a')
    expected = best(store)
    store._opened().connection().execute('VACUUM')
    del encoded[:]
    assert best(store) == expected
    assert sum(encoded) == 2800


def test_centroids_are_fitted_again_where_there_are_many_more(store, monkeypatch):
    best(store)
    before = RowBlocks(store).quantizer.centroids
    fill(store.path, 'fgh')
    np.testing.assert_array_equal(RowBlocks(store).quantizer.centroids, before)
    fill(store.path, 'ijklmnopqrst')
    assert (RowBlocks(store).quantizer.centroids != before).any()
    assert best(store)[0] == 20 * 700


def test_where_nothing_can_be_written(store, encoded):
    with open(f'{store.path}.rows', 'w') as file:
        file.write('in the way')
    first = best(store)
    assert best(store) == first
    assert len(encoded) == 6 and open(f'{store.path}.rows').read() == 'in the way'


def test_a_damaged_index_is_told_when_it_is_encoded(store):
    with store._opened().transaction() as connection:
        connection.execute('UPDATE segments SET start = -1 WHERE rowid = 5')
    with pytest.raises(InputError, match='the checksum of a differs'):
        best(store)


def test_a_file_without_segments_is_not_new_each_time(store, encoded):
    store.put('f', FileRecord(0, 0, '', ''), None)
    first = best(store)
    assert best(store) == first and len(encoded) == 3


def test_vectors_of_another_width(store):
    fill(store.path, 'f', width=18)
    with pytest.raises(InputError, match='its segments of f have other sizes'):
        best(store)
