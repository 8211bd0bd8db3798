"""The file of an index: whole, locked, of one version, or one clear error."""
import random
import sqlite3

import numpy as np
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search.records import FileRecord, Segments
from mmaction_centerclip.search.store import IndexStore

ROW = FileRecord(10, 20, 'hash', 'config.py')


def segments(count=3, seed=0):
    rng = np.random.default_rng(seed)
    start, vectors = np.arange(count, dtype=float), rng.standard_normal((count, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Segments(start, start + 1, vectors.astype('f2'))


@pytest.fixture
def store(tmp_path):
    store = IndexStore(tmp_path / 'my.index', dict(window='10.0'))
    store.put('b.mp4', ROW, segments(3, 1))
    store.put('a.mp4', ROW, segments(2, 2))
    store.put('c.txt', FileRecord(1, 2, 'hash', 'config.py', '', 'no video'), None)
    return store


def test_rows_come_back_by_file(store, tmp_path):
    store.put('b.mp4', ROW, segments(4, 3))  # anew
    again = IndexStore(tmp_path / 'my.index')
    assert again.settings == dict(window='10.0')
    assert list(again.files()) == ['a.mp4', 'b.mp4', 'c.txt']
    assert again.files()['c.txt'].reason == 'no video'
    paths, file_of, rows = again.load()
    assert paths == ['a.mp4', 'b.mp4'] and file_of.tolist() == [0, 0, 1, 1, 1, 1]
    np.testing.assert_array_equal(
        rows.vectors, np.concatenate([segments(2, 2).vectors, segments(4, 3).vectors]))
    assert rows.start.tolist() == [0, 1, 0, 1, 2, 3]
    store.remove(['b.mp4'])
    assert again.load()[0] == ['a.mp4'] and len(again.load()[1]) == 2


def test_a_second_process_is_refused(store, tmp_path):
    other = IndexStore(tmp_path / 'my.index')
    with store.locked():
        with pytest.raises(InputError, match='another process adds'):
            with other.locked():
                pass
    with other.locked():
        pass


@pytest.mark.parametrize('change, message', [
    ('UPDATE segments SET start = start + 0.5 WHERE rowid = 1', 'checksum of b.mp4'),
    ('UPDATE segments SET vector = zeroblob(16) WHERE rowid = 2', 'checksum of b.mp4'),
    ('UPDATE segments SET vector = zeroblob(12) WHERE rowid = 2', 'other sizes'),
    ('DELETE FROM segments WHERE rowid = 1', 'checksum of b.mp4'),
    ('DELETE FROM files WHERE path = "a.mp4"', 'of no file'),
    ('UPDATE files SET size = "a lot"', 'facts of other types'),
    ('UPDATE segments SET start = "soon" WHERE rowid = 1', 'damaged'),
    ('PRAGMA user_version = 7', 'version 7'),
    ('PRAGMA application_id = 7', 'cannot be used as an index of videos'),
    ('CREATE TRIGGER t AFTER INSERT ON files BEGIN DELETE FROM files; END',
     'a database of something else'),
])
def test_what_others_changed_is_refused(store, tmp_path, change, message):
    store.close()
    with sqlite3.connect(tmp_path / 'my.index') as db:
        db.execute(change)
    db.close()
    with pytest.raises(InputError, match=message):
        store = IndexStore(tmp_path / 'my.index')
        store.files()
        store.load()


@pytest.mark.parametrize('start, end, scale', [
    (0, np.inf, 1), (0, 1e308, 1), (2, 1, 1), (1, 1, 1), (-1, 1, 1), (0, 1, 100),
    (0, 1, .5), (0, 1, np.nan)])
def test_what_no_video_has_is_refused(store, start, end, scale):
    store.put('odd.mp4', ROW, Segments(np.array([start, 5.]), np.array([end, 6.]),
                                       scale * segments(2).vectors))
    with pytest.raises(InputError, match='odd.mp4 has times or vectors that no video'):
        store.load()


def test_an_index_that_another_makes_meanwhile(tmp_path):
    mine, same = (IndexStore(tmp_path / 'my.index', dict(window='1')) for _ in '12')
    other = IndexStore(tmp_path / 'my.index', dict(window='2'))
    assert not (tmp_path / 'my.index').exists() and mine.files() == {}
    state = same.state()
    mine.put('a.mp4', ROW, segments())
    assert list(same.files()) == ['a.mp4'] and same.state() != state
    with pytest.raises(InputError, match="another process has made it, with settings"):
        other.put('a.mp4', ROW, segments())


def test_damage_is_one_clear_error_or_none(store, tmp_path):
    store.close()
    whole = (tmp_path / 'my.index').read_bytes()
    expected = IndexStore(tmp_path / 'my.index').load()
    rng, refused = random.Random(0), 0
    for number in range(150):
        damaged = bytearray(whole)
        if number % 3:
            for _ in range(20):
                damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        else:
            del damaged[rng.randrange(1, len(whole)):]
        path = tmp_path / f'{number}.index'
        path.write_bytes(damaged)
        try:
            paths, file_of, rows = IndexStore(path).load()
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and '\n' not in str(error)
            continue
        # In what holds no rows.
        if paths == expected[0]:
            np.testing.assert_array_equal(rows.vectors, expected[2].vectors)
    assert refused > 60


@pytest.mark.parametrize('content', [b'no database at all' * 100, b'x'])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / 'x').write_bytes(content)
    with pytest.raises(InputError, match='x cannot be used as an index of videos'):
        IndexStore(tmp_path / 'x', {})


def test_no_file(tmp_path):
    with pytest.raises(InputError, match='no such index'):
        IndexStore(tmp_path / 'absent')
    with pytest.raises(InputError, match='in a folder that exists'):
        IndexStore(tmp_path / 'absent' / 'x', {})
