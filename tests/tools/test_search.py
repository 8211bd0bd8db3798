"""The tool that indexes videos and finds moments in them."""
import ast
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
from urllib.request import urlopen

import pytest
import torch
import uvicorn
from mmaction.registry import MODELS
from mmengine.config import Config

from mmaction_centerclip.cli import describe_error
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.engine.launching import build_runner
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search.store import IndexStore

from ..search.films import write_film


@pytest.fixture
def search(run_tool, tiny_config, tiny_checkpoint, tmp_path):
    write_film(tmp_path / 'films' / 'film.mp4', [20, 30])
    (tmp_path / 'films' / 'notes.txt').write_text('no video')

    def run(command, *args):
        return run_tool('search.py', command, *args, '--index', tmp_path / 'my.index',
                        '--config', tiny_config, '--checkpoint', tiny_checkpoint)

    return run


def test_index_and_search(search, tmp_path):
    said = search('index', tmp_path / 'films', '--split', 'cuts')
    assert '1 indexed, 0 unchanged, 0 removed, 1 unreadable' in said
    assert re.search(r'unreadable: .*notes.txt: cannot be decoded', said)
    added = json.loads(search('index', tmp_path / 'films', '--json'))
    assert added['indexed'] == [] and len(added['unchanged']) == 2
    found = json.loads(search(
        'search', '--clip', tmp_path / 'films' / 'film.mp4', '--json', '--topk', 3,
        '--cut', tmp_path / 'clips', '--export', tmp_path / 'hits.csv'))
    assert all(hit['file'].endswith('film.mp4') and 0 <= hit['start'] < hit['end'] <= 5
               for hit in found['hits'])
    clips = sorted(path.name for path in (tmp_path / 'clips').iterdir())
    assert clips == [f'{i:02}_film.mp4' for i in range(1, len(found['hits']) + 1)]
    assert len((tmp_path / 'hits.csv').read_text().splitlines()) == 1 + len(clips)
    table = search('search', 'a red circle')
    assert table.splitlines()[0].split() == [
        'file', 'in', 'out', 'score']
    other = search('search', 'a red circle', '--not', 'a star', 'blue', '--exact')
    assert other.split()[:4] == table.split()[:4] and other != table
    assert search('search', 'a star', '--not', 'a star') == (
        'error: exclude: nothing is left of the query')
    assert search('search', 'a red circle', '--min-score', 2) == 'nothing found\n'


def test_one_dead_hit_does_not_end_the_cutting(search, tmp_path):
    odd = tmp_path / 'films' / 'a\x1b[2J\nb.mp4'
    write_film(odd, [9])
    said = search('index', tmp_path / 'films')
    assert '2 indexed' in said and '\x1b' not in said
    table = search('search', 'x', '--topk', 9)
    assert r'a\x1b[2J\nb.mp4' in table and '\x1b' not in table
    odd.unlink()
    found = json.loads(search('search', 'x', '--topk', 9, '--json'))
    assert found['changes'] == {str(odd): 'is gone since it was indexed'}
    said = search('search', 'x', '--topk', 9, '--cut', tmp_path / 'clips')
    assert re.fullmatch(r'error: \d of \d moments are not cut: .*a\\x1b\[2J b.mp4 is '
                        r'gone since it was indexed', said)
    clips = {path.name[3:] for path in (tmp_path / 'clips').iterdir()}
    assert clips == {'film.mp4'}
    assert 'exists already' in search(
        'search', 'x', '--topk', 9, '--cut', tmp_path / 'clips')
    (tmp_path / 'films' / 'film.mp4').unlink()
    said = search('search', 'x', '--cut', tmp_path / 'none')
    assert 'not cut' in said and not (tmp_path / 'none').exists()
    said = search('index', tmp_path / 'films', '--drop-missing')
    assert '2 removed' in said


def test_an_index_remembers_its_model(search, run_tool, tiny_config, tiny_checkpoint,
                                      tmp_path):
    index = tmp_path / 'my.index'

    def plain(command, *args):
        return run_tool('search.py', command, *args, '--index', index)

    assert plain('index', tmp_path / 'films') == (
        f'error: no such index: {index}; --config makes a new one')
    search('index', tmp_path / 'films')
    assert plain('search', 'a red circle') == search('search', 'a red circle')
    assert '0 indexed, 1 unchanged' in plain('index', tmp_path / 'films')
    assert 'was trained with other settings' in plain(
        'search', 'x', '--cfg-options', 'model.arch.quick_gelu=True')
    elsewhere = tmp_path / 'elsewhere.pth'
    shutil.copy(tiny_checkpoint, elsewhere)
    store = IndexStore(index)
    model = ast.literal_eval(store.settings['model'])
    for name, value, message in (
            ('checkpoint', str(tmp_path / 'gone.pth'), 'is gone; --checkpoint'),
            ('config', dict(model['config'], default_scope='os.path.x'),
             "has the scope 'os.path.x'"),
            ('config', dict(model=dict(type='subprocess.Popen')), 'damaged')):
        store.remember('model', repr(dict(model, **{name: value})))
        said = plain('search', 'x')
        assert said.startswith(f'error: {index}: its ') and message in said
        if name == 'checkpoint':
            assert plain('search', 'x', '--checkpoint', elsewhere) == search(
                'search', 'x')
    store.remember('model', None)
    assert 'does not hold its config' in plain('search', 'x')
    search('index', tmp_path / 'films')
    assert plain('search', 'x') == search('search', 'x')


def test_rows_are_exported_without_a_model(search, run_tool, tmp_path):
    pq = pytest.importorskip('pyarrow.parquet')
    search('index', tmp_path / 'films')
    (tmp_path / 'films' / 'film.mp4').unlink()
    arguments = ('search.py', 'export', '--index', tmp_path / 'my.index',
                 tmp_path / 'rows.parquet')
    said = run_tool(*arguments).splitlines()[-1]
    count = pq.read_metadata(tmp_path / 'rows.parquet').num_rows
    assert count and said == f'{count} rows written to {tmp_path / "rows.parquet"}'
    assert run_tool(*arguments).endswith('exists already, choose another file')


def test_a_moved_folder_is_followed(search, run_tool, tmp_path):
    search('index', tmp_path / 'films')
    shutil.copytree(tmp_path / 'films', tmp_path / 'new')  # other times
    shutil.rmtree(tmp_path / 'films')
    (tmp_path / 'new' / 'notes.txt').write_text('other')
    said = run_tool('search.py', 'index', '--index', tmp_path / 'my.index', '--moved',
                    tmp_path / 'films', tmp_path / 'new')
    assert said.splitlines() == [
        f'1 files moved, 1 have no such file in {tmp_path / "new"}',
        f'not there: {tmp_path / "films" / "notes.txt"}']
    found = json.loads(search('search', 'x', '--json'))
    assert {hit['file'] for hit in found['hits']} == {
        str(tmp_path / 'new' / 'film.mp4')} and not found['changes']


def test_a_config_that_training_has_dumped(run_tool, tiny_config, tiny_checkpoint,
                                           tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path / 'work')
    build_runner(cfg).dump_config()
    dumped, = (tmp_path / 'work').glob('*.py')
    assert isinstance(Config.fromfile(dumped).test_dataloader.collate_fn, dict)
    write_film(tmp_path / 'films' / 'film.mp4', [20])
    assert '1 indexed' in run_tool(
        'search.py', 'index', tmp_path / 'films', '--index', tmp_path / 'my.index',
        '--config', dumped, '--checkpoint', tiny_checkpoint)


def test_errors_are_one_line(search, tmp_path, capsys):
    assert search('search', 'x') == f'error: no such index: {tmp_path / "my.index"}'
    assert search('index', tmp_path / 'absent') == (
        f'error: no such folder: {tmp_path / "absent"}')
    assert search('index', tmp_path / 'films', '--window', '1e-9') == (
        'error: window must be at least 0.01 seconds, got 1e-09')
    assert not list(tmp_path.glob('my.index*'))
    with IndexStore(tmp_path / 'my.index', {}).locked():
        assert 'another process adds' in search('index', tmp_path / 'films')
    (tmp_path / 'my.index').write_text('no index')
    assert search('search', 'x').startswith(
        f'error: {tmp_path / "my.index"} cannot be used as an index of videos')


@pytest.fixture
def ask_the_page(monkeypatch):
    """Serve until addresses are asked and Ctrl+C is pressed; return the answers."""
    run, answers = uvicorn.Server.run, {}

    def ask(*addresses):

        def serve(self, sockets):

            def ask_and_stop():
                port = sockets[0].getsockname()[1]
                try:
                    for address in addresses:  # The socket listens already.
                        with urlopen(f'http://127.0.0.1:{port}{address}',
                                     timeout=60) as answer:
                            answers[address] = json.load(answer)
                    os.kill(os.getpid(), signal.SIGINT)
                finally:
                    self.should_exit = True

            thread = threading.Thread(target=ask_and_stop)
            thread.start()
            try:
                run(self, sockets)
            finally:
                thread.join()

        monkeypatch.setattr(uvicorn.Server, 'run', serve)
        return answers

    return ask


def test_serve_shows_a_page(search, ask_the_page, tmp_path):
    search('index', tmp_path / 'films')
    answers = ask_the_page('/about', '/search?words=x')
    said = search('serve', '--port', 0, '--example', 'a dog', '--example', 'a cat')
    assert re.fullmatch(r'The page is at http://127.0.0.1:\d+/ \(.*\)\n', said)
    assert answers['/about']['examples'] == ['a dog', 'a cat']
    assert answers['/search?words=x']['hits'][0]['name'] == 'film.mp4'
    ask_the_page('/about')
    said = search('serve', '--port', 0, '--host', '0.0.0.0')
    assert re.search(r'Other machines reach it by .* --allow-host gives', said)


def test_errors_of_the_page_are_one_line(search, run_tool, tmp_path, monkeypatch):
    assert search('serve', '--port', 0) == (
        f'error: no such index: {tmp_path / "my.index"}')
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        said = search('serve', '--port', port)
        assert f'--port {port}: cannot be listened at' in said
    assert 'cannot be listened at' in search('serve', '--port', 70000)
    assert 'cannot be listened at' in search('serve', '--host', 'no.such.invalid')
    monkeypatch.chdir(tmp_path)
    said = run_tool('search.py', 'demo')
    assert said.startswith('error: work_dirs/shapes/centerclip/epoch_10.pth is missing')
    assert 'tools/run_shapes.py' in said
    for name in [name for name in sys.modules if 'search.page' in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    said = search('serve')
    assert said.startswith('error: the page of the search needs uvicorn')
    assert "pip install 'mmaction_centerclip[serve]'" in said


@pytest.mark.parametrize('content, last, message', [
    ('["a"]', 'x.pth', 'must map video files'), ('null', 'x.pth', 'must map video'),
    ('{"a.mp4": [["b"]]}', 'x.pth', 'must map video'), ('[' * 99999, 'x.pth', 'JSON'),
    ('{"a.mp4": ["a b"]}', 'x.pth', 'there is no'),
    ('{}', '', 'names no checkpoint'), ('{}', b'\xff\x00', 'names no checkpoint'),
    ('{}', '..', 'is missing'), ('{}', 'y' * 999, 'name too long'),
    *((json.dumps({name: ['a b']}), 'x.pth', 'leads out of its folder') for name in (
        '../test.json', '/etc/passwd', 'a/../../test.json', 'a\0b')),
    ('{"link/test.json": ["a b"]}', 'x.pth', 'by a link')])
def test_files_of_a_demo_that_are_of_others(content, last, message, tmp_path):
    from mmaction_centerclip.search.page import copy_videos, find_demo
    folder = tmp_path / 'work' / 'centerclip'
    folder.mkdir(parents=True)
    (folder / 'x.pth').touch()
    (folder / 'last_checkpoint').write_bytes(
        last if isinstance(last, bytes) else last.encode())
    (tmp_path / 'videos').mkdir()
    (tmp_path / 'videos' / 'link').symlink_to(tmp_path)
    (tmp_path / 'test.json').write_text(content)
    with pytest.raises((InputError, OSError)) as caught:
        _, texts = find_demo(tmp_path / 'work', tmp_path)
        copy_videos(texts, tmp_path, tmp_path / 'out')
    assert message in describe_error(caught.value)
    assert not (tmp_path / 'out').exists()


def test_demo_shows_the_model_of_the_shapes(run_tool, load_tool, ask_the_page, shapes,
                                            tmp_path, monkeypatch):
    cfg = Config.fromfile(load_tool('search.py').DEMO_CONFIG)
    prepare_config(cfg)
    folder = tmp_path / 'work_dir' / 'centerclip'
    folder.mkdir(parents=True)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()),
               folder / 'epoch_2.pth')
    (folder / 'last_checkpoint').write_text('/moved/since/epoch_2.pth\n')
    opened = []
    monkeypatch.setattr('webbrowser.open', opened.append)
    for display, option, opens in (('', (), 0), (':0', ('--no-open', ), 0),
                                   (':0', (), 1)):
        monkeypatch.setenv('DISPLAY', display)
        monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
        answers = ask_the_page('/about', '/search?words=a+ring&topk=1')
        said = run_tool('search.py', 'demo', '--port', 0, '--work-dir', folder.parent,
                        '--data', shapes, '--out', tmp_path / 'demo', *option)
        assert len(opened) == opens, said
    assert opened[0] in said
    assert answers['/about']['videos'] == 9
    captions = [text for own in json.loads((shapes / 'test.json').read_text()).values()
                for text in own]
    examples = answers['/about']['examples']
    assert len(set(examples)) == 3 and set(examples) <= set(captions)
