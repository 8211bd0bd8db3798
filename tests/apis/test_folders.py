"""Files of folders with links, loops, and folders that may not be read."""
import os

import pytest

from mmaction_centerclip.apis import list_files
from mmaction_centerclip.errors import InputError


@pytest.fixture
def library(tmp_path):
    """A folder with a film, and links of all kinds."""
    for name in ('films/b/real.mp4', 'films/.hidden/x.mp4', 'films/.x.mp4',
                 'elsewhere/sub/far.mp4', 'films/z.mp4'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    films = tmp_path / 'films'
    for link, target in (
            ('a_twice', 'b'), ('b/loop', '..'), ('b/self', '.'), ('b/top', '/'),
            ('far', '../elsewhere'), ('far_again', '../elsewhere/sub'),
            ('a.mp4', 'b/real.mp4'), ('b/far.mp4', '../../elsewhere/sub/far.mp4'),
            ('me', 'me'), ('broken', 'nowhere')):
        (films / link).symlink_to(target)
    return films


def test_links_are_followed_once(library):
    files, closed = list_files(library)
    assert [os.path.relpath(path, library) for path in files] == [
        'b/real.mp4', 'broken', 'far/sub/far.mp4', 'me', 'z.mp4']
    assert {os.path.relpath(path, library): reason for path, reason in closed.items()
            } == dict.fromkeys(['b/loop', 'b/self', 'b/top'],
                               'a link to a folder that it is in')


def test_folders_that_may_not_be_read_are_named(library, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith(('/b', '/far/sub')):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    files, closed = list_files(library)
    # Another way to what is there.
    assert str(library / 'z.mp4') in files and str(library / 'a.mp4') in files
    assert closed[str(library / 'b')] == 'Permission denied'
    assert closed[str(library / 'far' / 'sub')] == 'Permission denied'
    with pytest.raises(InputError, match='/b: Permission denied'):
        list_files(library / 'b')
    with pytest.raises(InputError, match='no such folder'):
        list_files(library / 'absent')
