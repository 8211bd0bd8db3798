import ast
import os
import pickle
import re
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmaction_centerclip.apis import list_files
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils import files
from mmaction_centerclip.utils.files import (
    atomic_write,
    remove_partials,
    same_video,
    write_text,
)
from mmaction_centerclip.utils.tensor_files import (
    read_checkpoint,
    read_tensors,
    save_tensors,
)


@pytest.fixture
def weights():
    return {'module.a.weight': torch.randn(2, 3), 'b': torch.arange(3)}


def same(got, expected):
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[key], expected[key]) for key in expected)


def test_whatever_was_saved_is_read(weights, tmp_path):
    path = str(tmp_path / 'content.pth')
    save_tensors(dict(format='x', names=['a'], nested=dict(weights)), path)
    content = read_tensors(path)
    assert (content['format'], content['names']) == ('x', ['a'])
    same(content['nested'], weights)


@pytest.mark.parametrize('wrap', [
    lambda state: state,
    lambda state: dict(state_dict=state, epoch=3),
    lambda state: dict(model=state, epoch=3),
])
def test_a_state_dict_is_found_and_unwrapped(weights, tmp_path, wrap):
    path = str(tmp_path / 'checkpoint.pth')
    torch.save(wrap(weights), path)
    state, rest, is_archive = read_checkpoint(path)
    same(state, {key.removeprefix('module.'): x for key, x in weights.items()})
    assert rest in ({}, dict(epoch=3)) and not is_archive
    assert (rest == {}) == (wrap(weights) is weights)


def test_safetensors(weights, tmp_path):
    path = str(tmp_path / 'weights.safetensors')
    save_file(weights, path)
    same(read_tensors(path), weights)
    assert set(read_checkpoint(path)[0]) == {'a.weight', 'b'}


def test_a_torchscript_archive_without_its_facts(tmp_path):
    module = torch.nn.Linear(2, 2)
    module.register_buffer('context_length', torch.tensor(77))
    path = str(tmp_path / 'archive.pt')
    torch.jit.script(module).save(path)
    same(read_tensors(path), {k: v for k, v in module.state_dict().items()
                              if k != 'context_length'})
    assert read_checkpoint(path)[2]


def foreign(path):
    torch.save(dict(state_dict={}, when=time.strptime('2020', '%Y')), path)


def damaged_archive(path):
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('archive/constants.pkl', b'no pickle')


def cut(path):
    torch.save(dict(a=torch.randn(1000)), path)
    path.write_bytes(path.read_bytes()[:-1000])


def legacy(path):
    path.write_bytes(pickle.dumps(dict(a=[1] * 9), protocol=2)[:20])


@pytest.mark.parametrize('name, write, message', [
    ('no.pth', lambda path: None, 'no such file: '),
    ('folder.pth', lambda path: path.mkdir(), 'no such file: '),
    ('text.pth', lambda path: path.write_text('text'), 'cannot be read'),
    ('empty.pth', lambda path: path.write_bytes(b''), 'cannot be read'),
    ('cut.pth', cut, 'cannot be read'),
    ('legacy.pth', legacy, 'not a readable checkpoint|cannot be read'),
    ('zip.pth', damaged_archive, 'cannot be read'),
    ('bad.safetensors', lambda path: path.write_bytes(b'\xff' * 20),
     'cannot be read'),
    ('foreign.pth', foreign, r'refused, .* time\.struct_time'),
])
def test_what_cannot_be_read_is_one_line_with_its_name(tmp_path, name, write,
                                                       message):
    path = tmp_path / name
    write(path)
    for read in (read_tensors, read_checkpoint):
        with pytest.raises(InputError, match=message) as error:
            read(str(path))
        assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('content, message', [
    ([1, 2], 'it holds a list'),
    ({}, r'it holds \[\]'),
    (dict(epoch=1, names=['a']), r"it holds \['epoch', 'names'\]"),
    ({0: torch.ones(1)}, r"it holds \['0'\]"),
    (dict(format='some.features.v1', video={}), r'it holds some\.features\.v1'),
])
def test_what_is_no_state_dict_is_named(tmp_path, content, message):
    path = str(tmp_path / 'other.pth')
    torch.save(content, path)
    with pytest.raises(InputError, match=f'other.pth is not a state dict, {message}'):
        read_checkpoint(path)


@pytest.mark.parametrize('weight, message', [
    (torch.tensor([1, torch.nan]), 'not a number'),
    (torch.tensor([torch.nan], dtype=torch.float8_e5m2), 'not a number'),
    (torch.eye(2).to_sparse(), 'is sparse'),
    (torch.ones(2, device='meta'), 'is without values'),
    (torch.ones(1).expand(10**12), 'is expanded'),
    (torch.quantize_per_tensor(torch.ones(2), .1, 0, torch.qint8), 'is quantized'),
])
def test_what_is_no_weight_is_refused(tmp_path, weight, message):
    path = str(tmp_path / 'other.pth')
    torch.save(dict(good=torch.tensor([1, torch.inf]), bad=weight), path)
    with pytest.raises(InputError, match=f"other.pth: 'bad' .*{message}"):
        read_checkpoint(path)


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / 'mine.pth'
    path.write_text('precious')
    with pytest.raises(InputError, match='mine.pth exists already'):
        save_tensors({}, str(path))
    assert path.read_text() == 'precious'


def test_a_killed_writer_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    path = str(tmp_path / 'out.pth')

    def killed(content, path):
        with open(path, 'wb') as file:
            file.write(b'half')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, 'save', killed)
        with pytest.raises(KeyboardInterrupt):
            save_tensors(dict(a=torch.ones(2)), path)
    with pytest.raises(InputError, match='no such file'):
        read_tensors(path)
    save_tensors(dict(a=torch.ones(2)), path)
    same(read_tensors(path), dict(a=torch.ones(2)))
    assert [file.name for file in tmp_path.iterdir()] == ['out.pth']


def test_utils_stand_on_the_ground_floor():
    for path in Path(files.__file__).parent.glob('*.py'):
        imported = {node.module for node in ast.walk(ast.parse(path.read_text()))
                    if isinstance(node, ast.ImportFrom) and not node.level}
        assert {name for name in imported if name.startswith('mmaction')} <= {
            'mmaction_centerclip.errors'}, path


@pytest.mark.parametrize('taken', ['x.csv.partial', '.x.csv.partial', 'x.csv.tmp'])
def test_names_that_others_have_are_left_alone(taken, tmp_path):
    (tmp_path / 'thesis').write_text('precious')
    (tmp_path / taken).symlink_to('thesis')
    write_text('a', str(tmp_path / 'x.csv'))
    with pytest.raises(KeyError), atomic_write(tmp_path / 'y.csv') as partial:
        assert re.fullmatch(r'\.y\.csv\.[0-9a-f]{8}\.partial', Path(partial).name)
        raise KeyError  # of which nothing is left
    assert {path.name for path in tmp_path.iterdir()} == {'thesis', taken, 'x.csv'}
    assert (tmp_path / taken).read_text() == 'precious'


def test_a_written_file_has_the_mode_of_a_new_one(tmp_path):
    (tmp_path / 'plain').touch()
    write_text('a', str(tmp_path / ('long' * 60)))
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_what_cannot_be_written_is_said_and_devices_stay(tmp_path):
    for path in ('/dev/full', str(tmp_path), str(tmp_path / 'no' / 'x.csv')):
        with pytest.raises(InputError, match=f'{path} cannot be written: '):
            write_text('a' * 99, path)
    assert not os.path.isfile('/dev/full')


def test_only_what_is_ours_beyond_doubt_is_swept_up(tmp_path):
    kept = ['a.partial', '.a.partial', '.a.mp4.12345678.partial.d e',
            'a.1f2e3d4c.partial', '.a.mp4.1f2e3d4.partial']
    (tmp_path / 'below').mkdir()
    for name in (*kept, '.a.mp4.1f2e3d4c.partial', 'below/.a.mp4.1f2e3d4c.partial'):
        (tmp_path / name).touch()
    remove_partials(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, 'below'}
    assert list((tmp_path / 'below').iterdir())


def test_the_ways_to_write_a_path_are_one_video(tmp_path, monkeypatch):
    (tmp_path / 'a.mp4').touch()
    (tmp_path / 'b.mp4').symlink_to('a.mp4')
    monkeypatch.chdir(tmp_path)
    os.link('a.mp4', 'c.mp4')
    names = ['a.mp4', './a.mp4', f'{tmp_path}/a.mp4', 'b.mp4', 'c.mp4']
    assert len(set(map(same_video, names))) == 1
    (tmp_path / 'd.mp4').touch()
    assert len(set(map(same_video, ['a.mp4', 'd.mp4', 'no.mp4']))) == 3
    assert same_video('http://x/a/../b.mp4') == 'http://x/a/../b.mp4'


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
