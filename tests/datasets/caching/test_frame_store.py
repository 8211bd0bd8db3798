"""Files of a frame cache that are damaged, or something else."""
import pickle
import sqlite3

import numpy as np
import pytest

from mmaction_centerclip.datasets.caching.frame_cache import FrameCache
from mmaction_centerclip.errors import InputError

from ..caches import only_cached, read
from ..clips import FRAMES, numbers_of


@pytest.mark.parametrize('content', [
    b'no database', pickle.dumps(print), b'SQLite format 3\0' + bytes(4000)])
def test_another_file_is_one_clear_error(tmp_path, content):
    (tmp_path / 'frames.db').write_bytes(content)
    with pytest.raises(InputError, match='frames.db cannot be used as a frame cache'):
        FrameCache(str(tmp_path / 'frames.db'))
    assert (tmp_path / 'frames.db').read_bytes() == content


@pytest.mark.parametrize('statement', [
    'CREATE TABLE files (path)', 'CREATE VIEW frames AS SELECT 1',
    "CREATE TRIGGER spy AFTER INSERT ON frames BEGIN DELETE FROM files; END"])
def test_another_schema_is_refused(clip, cache, tmp_path, statement):
    name = tmp_path / 'made' / 'frames.db'
    if 'TRIGGER' in statement:
        read(cache(), clip('h264.mp4'), [3])
    else:
        name.parent.mkdir()
    with sqlite3.connect(name) as file:
        file.execute(statement)
    file.close()
    with pytest.raises(InputError, match='something else'):
        cache()


def test_damaged_frames_are_decoded_anew(clip, cache, tmp_path):
    path, wanted = clip('h264.mp4'), list(range(0, FRAMES, 4))
    read(cache(), path, wanted)
    name = tmp_path / 'made' / 'frames.db'
    with sqlite3.connect(name) as file:
        file.execute("UPDATE frames SET data = substr(data, 1, 300) WHERE id % 8 = 0")
        file.execute("UPDATE frames SET data = 'text' WHERE id % 8 = 4")
    file.close()
    for _ in range(2):  # The first time they are mended.
        found = read(cache(), path, wanted)
        assert np.abs(np.subtract(numbers_of(found), wanted)).max() <= 2
    only_cached(cache(), path, wanted)


@pytest.mark.parametrize('seed', range(6))
def test_a_damaged_file_gives_no_other_frames(clip, cache, tmp_path, seed):
    path = clip('h264.mp4')
    read(cache(), path, range(FRAMES))
    name = tmp_path / 'made' / 'frames.db'
    content = bytearray(name.read_bytes())
    rng = np.random.default_rng(seed)
    if seed < 2:  # cut off
        content = content[:int(len(content) * rng.uniform(.1, .9))]
    else:
        for place in rng.integers(100, len(content), 5 * 10**seed // 100):
            content[place] = rng.integers(256)
    name.write_bytes(content)
    try:
        found = read(cache(), path, range(FRAMES))
    except InputError as error:
        assert 'cannot be used' in str(error)
    else:
        assert np.abs(np.subtract(numbers_of(found), range(FRAMES))).max() <= 2
