"""Rows as a Parquet file has them, and what a search finds in them."""
import os
import sqlite3
import sys

import numpy as np
import pytest

from mmaction_centerclip.apis import model_hash
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import (
    Hit,
    VideoIndex,
    export_rows,
    join_moments,
    row_export,
)
from mmaction_centerclip.search.ranking import draw_background
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.store import IndexStore

from .films import write_film
from .test_ranking import random_rows

RECORD = FileRecord(1, 2, 'abcdef', 'config.py')


@pytest.fixture
def pq():
    return pytest.importorskip('pyarrow.parquet')


@pytest.fixture
def store(tmp_path):
    """Films of 1 to 60 segments, and one that could not be read."""
    store = IndexStore(tmp_path / 'my.index', dict(window='7.5', split='cuts'))
    for number in range(60):
        start = np.arange(number + 1.) * 1.5
        store.put(f'{(number * 7) % 60:02}ü.mp4', RECORD, Segments(
            start, start + 1.5, random_rows(number + 1, 8, seed=number)))
    store.put('30.txt', FileRecord(1, 2, 'other', 'old.py', reason='no video'), None)
    return store


def test_a_file_has_the_rows_of_the_index(store, pq, tmp_path, monkeypatch):
    paths, file_of, segments = store.load()
    for rows in (100, 10_000):
        monkeypatch.setattr(row_export, 'ROWS', rows)
        path = tmp_path / f'{rows}.parquet'
        assert export_rows(store, path) == len(file_of) == 1830
        table = pq.read_table(path)
        assert table['row'].to_pylist() == list(range(1830))
        assert table['file'].to_pylist() == [paths[i] for i in file_of]
        np.testing.assert_array_equal(table['start'], segments.start)
        np.testing.assert_array_equal(table['end'], segments.end)
        np.testing.assert_array_equal(table['vector'].to_pylist(), segments.vectors)
        assert table['background'].to_pylist() == [True] * 1830
        assert {name.decode(): value.decode() for name, value in
                pq.read_schema(path).metadata.items() if name != b'ARROW:schema'} == {
                    'version': '1', 'model': 'abcdef', 'model_name': 'config.py',
                    'window': '7.5', 'split': 'cuts', 'width': '8'}
        metadata = pq.read_metadata(path)
        *sizes, _ = (metadata.row_group(i).num_rows
                     for i in range(metadata.num_row_groups))
        assert bool(sizes) == (rows == 100)
        assert all(rows <= size < rows + 60 for size in sizes)
    assert [str(field.type) for field in pq.read_schema(path)] == [
        'int64', 'dictionary<values=string, indices=int32, ordered=0>', 'double',
        'double', 'fixed_size_list<element: float>[8]', 'bool']
    assert sorted(os.listdir(tmp_path)) == ['100.parquet', '10000.parquet', 'my.index']


def test_the_background_is_that_of_a_search(store, pq, tmp_path):
    start = np.arange(5000.)
    store.put('long.mp4', RECORD, Segments(start, start + 1, random_rows(5000, 8)))
    export_rows(store, tmp_path / 'a.parquet')
    marked = pq.read_table(tmp_path / 'a.parquet')['background'].to_numpy()
    np.testing.assert_array_equal(np.flatnonzero(marked), draw_background(6830))
    assert marked.sum() == 4096


def test_features_of_a_head_are_said_to_be_missing(pq, tmp_path, capsys):
    store = IndexStore(tmp_path / 'my.index', dict(window='10.0', split='length'))
    assert not store.has_features()
    vectors = random_rows(3, 8)
    store.put('a.mp4', RECORD, Segments(np.arange(3.), np.arange(3.) + 1, vectors,
                                        [vectors] * 3))
    assert store.has_features() and (store.count(), store.width()) == (3, 8)
    export_rows(store, tmp_path / 'a.parquet')
    assert 'head that compares pairs: vectors alone' in ''.join(capsys.readouterr())


def test_what_is_not_exported(store, pq, tmp_path, monkeypatch):
    def said(path, store=store):
        with pytest.raises(InputError) as error:
            export_rows(store, path)
        assert not list(tmp_path.glob('*.partial*'))
        return str(error.value)

    assert said('rows.arrow') == 'rows.arrow: expected a .parquet file'
    (tmp_path / 'old.parquet').touch()
    assert 'exists already, choose another' in said(tmp_path / 'old.parquet')
    new = tmp_path / 'new.parquet'
    assert said(new / 'a.parquet').endswith(
        'cannot be written: No such file or directory')
    with IndexStore(store.path).locked():
        assert 'another process adds' in said(new)
    empty = IndexStore(tmp_path / 'empty.index', {})
    empty.put('a.txt', FileRecord(1, 2, 'a', 'b', reason='no video'), None)
    assert said(new, empty).endswith('has no segments; add a folder')
    start = np.arange(3.)
    store.put('wide.mp4', RECORD, Segments(start, start + 1, random_rows(3, 16)))
    assert 'its segments of wide.mp4 have other sizes' in said(new)
    store.put('wide.mp4', FileRecord(1, 2, 'x', 'y.py'), Segments(
        start, start + 1, random_rows(3, 8)))
    assert 'models, config.py with abcdef, y.py with x; index its' in said(new)
    store.remove(['wide.mp4'])
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE files SET reason = 'x' WHERE path = '07ü.mp4'")
    connection.close()
    assert '2 segments are of no file' in said(new)
    store.remember('split', None)
    assert "its settings are {'window': '7.5'}, of files" in said(new)
    monkeypatch.setitem(sys.modules, 'pyarrow', None)  # as if it were not there
    assert "needs pyarrow, which is not installed: pip install 'mmaction" in said(new)
    assert not new.exists()


def test_an_engine_gives_the_moments_of_the_index(inferencer, pq, tmp_path):
    write_film(tmp_path / 'films' / 'long.mp4', [50, 70, 60])
    write_film(tmp_path / 'films' / 'sub' / 'short.mp4', [30, 20])
    index = VideoIndex(tmp_path / 'my.index', inferencer, window=1)
    index.add(tmp_path / 'films')
    export_rows(index.store, tmp_path / 'a.parquet')
    metadata = pq.read_schema(tmp_path / 'a.parquet').metadata
    assert metadata[b'model'].decode() == model_hash(
        inferencer.model, inferencer.pipeline)
    columns = pq.read_table(tmp_path / 'a.parquet').to_pydict()
    vectors = np.array(columns['vector'], np.float32)
    for query in 'a red circle', 'a blue star', tmp_path / 'films/sub/short.mp4':
        scores = vectors @ index.vector(query)
        rows = [Hit(*row) for row in zip(
            columns['file'], columns['start'], columns['end'], scores.tolist())]
        found = join_moments(rows, np.median(scores[columns['background']]), 5)
        expected = index.search(query, topk=5)
        assert len(found) == 5 and any(hit.end - hit.start > .6 for hit in found)
        assert [(x.file, x.start, x.end) for x in found] == [
            (x.file, x.start, x.end) for x in expected]
        np.testing.assert_allclose([x.score for x in found],
                                   [x.score for x in expected], atol=1e-5)
