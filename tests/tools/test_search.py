"""The tool that indexes videos and finds moments in them."""
import json
import re

import pytest

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
        'file', 'in', 'out', 'score', 'chance', 'matches']
    other = search('search', 'a red circle', '--not', 'a star', 'blue', '--exact')
    assert other.split()[:6] == table.split()[:6] and other != table
    assert search('search', 'a star', '--not', 'a star') == (
        'error: exclude: nothing is left of the query')
    nothing = search('search', 'a red circle', '--min-score', 2)
    assert re.fullmatch(r'nothing matches: no score is above -?[\d.]+\n', nothing)


def test_errors_are_one_line(search, tmp_path, capsys):
    assert search('search', 'x') == f'error: no such index: {tmp_path / "my.index"}'
    assert search('index', tmp_path / 'absent') == (
        f'error: no such folder: {tmp_path / "absent"}')
    with IndexStore(tmp_path / 'my.index').locked():
        assert 'another process adds' in search('index', tmp_path / 'films')
    assert 'no segments; add a folder' in search('search', 'x')
    (tmp_path / 'my.index').write_text('no index')
    assert search('search', 'x') == (
        f'error: {tmp_path / "my.index"} is no index of videos')
