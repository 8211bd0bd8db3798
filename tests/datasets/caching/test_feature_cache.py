"""Features in a file that is damaged, or that others have written."""
import io
import sqlite3
from zlib import crc32

import numpy as np
import pytest
import torch

from mmaction_centerclip.datasets.caching.feature_cache import FeatureCache
from mmaction_centerclip.errors import InputError

VIDEO = torch.arange(12.).view(3, 4), torch.tensor([True, True, False])
TEXT = torch.ones(4), torch.ones(5, 4), torch.tensor([True, True, True, False, False])


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture
def cache(tmp_path):
    """Return a function that opens a cache, filled the first time."""
    (tmp_path / 'a.mp4').write_bytes(b'a video')

    def open_cache(writable=True, recipe='recipe', towers='towers'):
        made = FeatureCache(str(tmp_path / 'features.db'), recipe, writable)
        if writable:
            made.claim(towers)
        return made

    made = open_cache()
    made.add_video(str(tmp_path / 'a.mp4'), None, *VIDEO)
    made.add_text('a', *TEXT)
    return open_cache


def change(tmp_path, old, new):
    with sqlite3.connect(tmp_path / 'features.db') as db:
        count = db.execute('UPDATE frames SET data = ?, crc = ? WHERE data = ?',
                           (new, crc32(new), old)).rowcount
    db.close()
    assert count


def test_what_was_stored_is_read(cache, tmp_path):
    for found in (cache(False), cache()):
        video, text = found.video(str(tmp_path / 'a.mp4'), None), found.text('a')
        assert torch.equal(video['segments'], VIDEO[0])
        assert torch.equal(video['segment_mask'], VIDEO[1])
        assert torch.equal(text['words'], TEXT[1] * TEXT[2][:, None])
        assert torch.equal(text['sentence'], TEXT[0])
    assert cache(False, 'other').text('a') is None
    with pytest.raises(InputError, match='of other weights'):
        cache(towers='others')


@pytest.mark.parametrize('of', ['segments', 'mask', 'shape'])
@pytest.mark.parametrize('damage', [
    lambda old: b'', lambda old: old[:len(old) // 2], lambda old: old + b'\0',
    lambda old: old * 2, lambda old: b'\2' * len(old), lambda old: b'\xff' * len(old),
    lambda old: npy(np.ones((3, 4), np.float16)), lambda old: npy(np.ones(3)),
    lambda old: npy(np.ones(3, np.int64)), lambda old: b'not npy', lambda old:
    b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (2**47, )}",
    lambda old: b'[1, 99999999999999999999]', lambda old: b'[0, 4]',
    lambda old: b'[6, 2]'])
def test_what_has_another_form_is_absent_and_remade(cache, tmp_path, of, damage):
    old = dict(segments=VIDEO[0].numpy().tobytes(), mask=VIDEO[1].numpy().tobytes(),
               shape=b'[3, 4]')[of]
    new = damage(old)
    change(tmp_path, old, new)
    name = str(tmp_path / 'a.mp4')
    if of == 'segments' and new == b'\2' * len(old):
        return  # These are numbers.
    assert cache(False).video(name, None) is None
    assert cache(False).text('a') is not None
    cache().add_video(name, None, *VIDEO)
    assert torch.equal(cache(False).video(name, None)['segments'], VIDEO[0])
    assert cache(False).text('a') is not None


def test_text_of_another_form_is_absent(cache, tmp_path):
    change(tmp_path, TEXT[2].numpy().tobytes(), b'\1\1\0\0\0')
    assert cache(False).text('a') is None


def test_a_full_disk_is_an_error_that_names_the_file(cache):
    found = cache()
    found.store._file.rows('PRAGMA max_page_count = 8')
    with pytest.raises(InputError, match='features.db cannot be used .* full'):
        for i in range(2000):
            found.add_text(str(i), *TEXT)
    with pytest.raises(InputError, match='features.db cannot be used .* full'):
        found.add_text('a', *TEXT)  # Nothing is claimed afterwards, either.
    assert cache(False).text('a') is not None and cache(False).text(str(i)) is None
