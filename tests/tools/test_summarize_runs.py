import csv

import pytest

from ..reference.work_dirs import METRICS, data, write_start

TOOL = 'analysis_tools/summarize_runs.py'


def test_seeds_are_summarized(run_tool, tmp_path):
    dirs = [write_start(tmp_path / f'seed{seed}', [10, 44 + seed], seed)
            for seed in range(3)]
    dirs.append(write_start(tmp_path / 'other', [50, 30], 2, config='clip4clip_tiny'))
    table, picture = tmp_path / 'out.csv', tmp_path / 'out.png'
    printed = run_tool(TOOL, *dirs, '--csv', table, '--plot', picture)
    title, header, first, second, noise = printed.splitlines()
    assert title.startswith('Last validation of each run')
    assert header.split() == ['config', 'runs', 'seeds', 'epochs', *METRICS]
    assert first.split()[:7] == ['centerclip_tiny', '3', '0,1,2', '2,2,2', '45.00',
                                 '±', '1.00']
    assert second.split()[:7] == ['clip4clip_tiny', '1', '2', '2', '30.00', '±', '-']
    assert len(header) == len(first) == len(second)
    assert 'under one point of R@1 are within the noise' in noise
    rows = list(csv.DictReader(table.open()))
    assert [row['t2v/R1 std'] for row in rows] == ['1.0', '']
    assert set(rows[0]) == {'config', 'epochs', 'evaluation', 'runs', 'seeds', *(
        f'{metric} {what}' for metric in METRICS for what in ('mean', 'std'))}
    assert rows[0]['v2t/R10 mean'] == '57.0' and (
        rows[0]['evaluation'] == 'last validation')
    assert picture.read_bytes().startswith(b'\x89PNG')


def test_the_best_flatters(run_tool, tmp_path):
    work_dir = write_start(tmp_path / 'run', [20, 60, 50])
    printed = run_tool(TOOL, work_dir, '--best', 't2v/R1', '--metrics', 't2v/R1')
    assert 'Best validation of each run by t2v/R1' in printed
    assert '60.00' in printed and 'flatters' in printed


def test_validations_count_unless_a_run_has_none(run_tool, tmp_path, capsys):
    trained = write_start(tmp_path / 'a', [1], time='20260101_000000',
                          cfg=data('test.json'))
    for time, recall, file in (('20260102_000000', 44, 'test.json'),
                               ('20260103_000000', 97, 'train.json')):
        write_start(trained, [], time=time, test=recall, cfg=data(file))
    assert ' 1.00' in run_tool(TOOL, trained, '--metrics', 't2v/R1')
    printed = run_tool(TOOL, trained, '--metrics', 't2v/R1', '--which', 'test')
    assert 'Last test of each run' in printed and ' 44.00' in printed
    tested = write_start(tmp_path / 'b', [], 7, test=3, cfg=data('test.json'))
    assert 'Last test of each run' in run_tool(TOOL, trained, tested)


def test_warnings_go_to_stderr(tmp_path, monkeypatch, capsys, load_tool):
    dirs = [str(write_start(tmp_path / name, [1], 1)) for name in 'ab']
    monkeypatch.setattr('sys.argv', ['summarize_runs.py', *dirs])
    load_tool(TOOL).main()
    captured = capsys.readouterr()
    assert captured.err.startswith('warning: 2 runs of centerclip_tiny have the seed')
    assert 'warning' not in captured.out


@pytest.mark.parametrize('options, message', [
    ([], '{empty}: no evaluation, expected'),
    (['--csv', 'no/out.csv'], 'no/out.csv: there is no folder no'),
])
def test_what_is_wrong_is_named(run_tool, tmp_path, options, message):
    empty = write_start(tmp_path / 'empty', [])
    said = run_tool(TOOL, empty, *options)
    assert said.startswith(f'error: {message.format(empty=empty)}')


@pytest.mark.parametrize('option, name, message', [
    ('--csv', 'folder', '{path} is a folder, expected a file to write'),
    ('--plot', 'a.xyz', '--plot {path}: cannot be written: ')])
def test_a_file_that_cannot_be_written_is_named(run_tool, tmp_path, option, name,
                                                message):
    (tmp_path / 'folder').mkdir()
    work_dir = write_start(tmp_path / 'run', [1])
    said = run_tool(TOOL, work_dir, option, tmp_path / name)
    assert said.startswith(f'error: {message.format(path=tmp_path / name)}')
