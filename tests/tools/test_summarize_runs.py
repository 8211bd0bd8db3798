"""Made-up work dirs, in the format of MMEngine's LoggerHook and runner."""
import csv
import json
import statistics
import subprocess
import sys

import pytest
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend

from mmaction_centerclip.apis.run_summary import (
    choose_evaluations,
    format_summary,
    plot_summary,
    run_warnings,
    summarize,
    write_csv,
)
from mmaction_centerclip.apis.work_dir import read_run
from mmaction_centerclip.errors import InputError

from ..paths import TOOLS

TIME = '20261122_224940'
METRICS = [f'{d}/R{k}' for d in ('t2v', 'v2t') for k in (1, 5, 10)]
LOG = """2026/11/22 23:24:23 - mmengine - INFO -{space}
------------------------------------------------------------
System environment:
    sys.platform: linux
    numpy_random_seed: 7

Runtime environment:
    cudnn_benchmark: False
    seed: {seed}
    Distributed launcher: none
------------------------------------------------------------

2026/11/22 23:24:24 - mmengine - INFO - Config:
randomness = dict(seed=99)
"""


def evaluation(recall, **others):
    """The metrics of an evaluation, with the timings that go along."""
    metrics = {f'{d}/R{k}': recall + i + 10 * (d == 'v2t')
               for d in ('t2v', 'v2t') for i, k in enumerate((1, 5, 10))}
    metrics = {'t2v/MdR': 100 - recall, **metrics, **others}
    return {**{f'retrieval/{k}': v for k, v in metrics.items()},
            'data_time': .4, 'time': 1.}


@pytest.fixture
def make(tmp_path):
    """Write one start of a tool into a work dir."""

    def write(name, recalls, seed=0, time=TIME, config='centerclip_tiny',
              logged=True, test=None, cfg=None):
        work_dir = tmp_path / name
        randomness = dict(seed=seed) if seed is not None else {}
        cfg = Config(dict(model=dict(type='A', stages=[1, 2]),
                          randomness=randomness, work_dir=name, **(cfg or {})))
        start = work_dir / time
        backend = LocalVisBackend(str(start / 'vis_data'))
        backend.add_config(cfg)
        cfg.dump(str(work_dir / f'{config}.py'))
        for epoch, recall in enumerate(recalls, 1):
            backend.add_scalars(
                dict(lr=1e-3, loss=3., epoch=epoch, iter=10 * epoch),
                step=10 * epoch, file_path=f'{time}.json')
            backend.add_scalars(
                evaluation(recall), step=epoch, file_path=f'{time}.json')
        if logged and seed is not None:
            (start / f'{time}.log').write_text(LOG.format(seed=seed, space=' '))
        if test is not None:
            (start / f'{time}.json').write_text(json.dumps(evaluation(test)))
        return work_dir

    return write


def tool(*args):
    return subprocess.run(
        [sys.executable, TOOLS / 'analysis_tools' / 'summarize_runs.py',
         *map(str, args)], capture_output=True, text=True)


def test_the_tool_summarizes_seeds(make, tmp_path):
    dirs = [make(f'seed{seed}', [10, 44 + seed], seed) for seed in range(3)]
    dirs.append(make('other', [50, 30], 2, config='clip4clip_tiny'))
    table, picture = tmp_path / 'out.csv', tmp_path / 'out.png'
    result = tool(*dirs, '--csv', table, '--plot', picture)
    assert result.returncode == 0, result.stderr
    assert 'warning: ' not in result.stderr
    title, header, first, second, noise = result.stdout.splitlines()
    assert title.startswith('Last validation')
    assert header.split() == ['config', 'runs', 'seeds', *METRICS]
    assert first.split()[:6] == ['centerclip_tiny', '3', '0,1,2', '45.00', '±',
                                 '1.00']
    assert second.split()[:6] == ['clip4clip_tiny', '1', '2', '30.00', '±', '-']
    assert len(header) == len(first) == len(second)
    assert 'under one point of R@1 are within the noise' in noise
    rows = list(csv.DictReader(table.open()))
    assert [row['t2v/R1 std'] for row in rows] == ['1.0', '']
    assert rows[0]['v2t/R10 mean'] == '57.0' and (
        rows[0]['evaluation'] == 'last validation')
    assert picture.read_bytes().startswith(b'\x89PNG')


def test_the_tool_names_what_is_wrong_and_how_the_best_flatters(make, tmp_path):
    work_dir = make('run', [20, 60, 50])
    result = tool(work_dir, '--best', 't2v/R1', '--metrics', 't2v/R1')
    assert 'Best validation of each run by t2v/R1' in result.stdout
    assert '60.00' in result.stdout and 'flatters' in result.stdout
    empty = make('empty', [])
    result = tool(work_dir, empty)
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    assert f'error: {empty}: no evaluation, expected' in result.stderr


def test_the_deviation_is_of_the_sample(make):
    values = [41.5, 44, 42.25, 43]
    runs = [read_run(make(str(i), [v], i)) for i, v in enumerate(values)]
    group, = summarize(runs, ['t2v/R1', 'v2t/R5'])
    assert group.seeds == [0, 1, 2, 3]
    assert group.mean('v2t/R5') == statistics.mean(values) + 11
    assert group.deviation('t2v/R1') == pytest.approx(
        (sum((v - 42.6875)**2 for v in values) / 3)**.5)


def test_a_resumed_and_then_tested_training_is_one_run(make):
    work_dir = make('run', [1, 2], time='20260101_000000')
    make('run', [3], time='20260102_000000')
    # Testing dumps the seed of the config, which is not that of training.
    make('run', [], seed=42, time='20260103_000000', test=4)
    run = read_run(work_dir)
    assert [e['t2v/R1'] for e in run.evaluations['val']] == [1, 2, 3]
    assert [e['t2v/R1'] for e in run.evaluations['test']] == [4]
    assert run.seeds == [0]
    assert set(run.last('test')) == {*METRICS, 't2v/MdR'}
    for metric in ('t2v/R1', 't2v/MdR'):
        assert run.best(metric, 'val')['t2v/R1'] == 3


def data(name):
    return dict(test_dataloader=dict(batch_size=4, dataset=dict(ann_file=name)))


def test_a_test_on_other_data_is_no_result(make):
    work_dir = make('run', [1], time='20260101_000000', cfg=data('test.json'))
    make('run', [], time='20260102_000000', test=44, cfg=data('test.json'))
    make('run', [], time='20260103_000000', test=97, cfg=data('train.json'))
    run = read_run(work_dir)
    assert run.last('test')['t2v/R1'] == 44
    assert run.settings['test_dataloader'].count('test.json')
    warning, = run_warnings([run])
    assert '1 tests on other data' in warning and '20260103' in warning
    result = tool(work_dir, '--metrics', 't2v/R1', '--which', 'test')
    assert 'Last test of each run' in result.stdout and ' 44.00' in result.stdout
    assert 'warning: ' in result.stderr
    assert ' 1.00' in tool(work_dir, '--metrics', 't2v/R1').stdout


def test_tests_on_several_data_need_a_training(make):
    work_dir = make('run', [], time='20260101_000000', test=44, cfg=data('test.json'))
    assert read_run(work_dir).last('test')['t2v/R1'] == 44
    make('run', [], time='20260102_000000', test=97, cfg=data('train.json'))
    with pytest.raises(InputError, match='several test data, .* 20260101_000000'):
        read_run(work_dir)


def test_other_data_is_another_row_of_what_was_evaluated_on_it(make):
    runs = [read_run(make(name, [value], value, cfg=dict(
        val_dataloader=dict(batch_size=value, dataset=dict(ann_file=ann_file)))))
            for name, value, ann_file in (
                ('a', 40, 'val.json'), ('b', 44, 'val.json'), ('c', 90, 'easy.json'))]
    assert [len(g.seeds) for g in summarize(runs, METRICS)] == [2, 1]
    warning, = run_warnings(runs)
    assert 'differ in val_dataloader' in warning
    assert run_warnings(runs, 'test') == []


def test_a_dump_of_features_is_no_test(make):
    work_dir = make('run', [], time='20260101_000000', test=44)
    start = make('run', [], time='20260102_000000') / '20260102_000000'
    (start / f'{start.name}.json').write_text('{"data_time": 0.1}')
    assert read_run(work_dir).last('test')['t2v/R1'] == 44


def test_how_data_is_loaded_makes_no_row_of_its_own(make):
    runs = [read_run(make(str(n), [n], n, cfg=dict(
        train_dataloader=dict(batch_size=4, num_workers=n)))) for n in (1, 8)]
    assert len(summarize(runs, METRICS)) == 1 and run_warnings(runs) == []


def test_validations_and_tests_are_not_mixed(make):
    trained = read_run(make('a', [1], 1))
    tested = read_run(make('b', [], test=3))
    assert choose_evaluations([trained]) == 'val'
    assert choose_evaluations([trained, tested]) == 'test'
    with pytest.raises(InputError, match='/a: no test, expected one'):
        summarize([trained, tested], METRICS, which='test')


def test_other_settings_are_another_row(make):
    runs = [read_run(make(name, [value], value, cfg=dict(train_cfg=dict(epochs=e))))
            for name, value, e in (('a', 1, 5), ('b', 2, 5), ('c', 9, 6))]
    first, second = summarize(runs, METRICS)
    assert (first.config, second.config) == ('centerclip_tiny', 'centerclip_tiny (2)')
    assert (first.mean('t2v/R1'), second.mean('t2v/R1')) == (1.5, 9)


def test_best_is_the_lowest_rank_and_no_nan(make):
    run = read_run(make('run', [30, 80, float('nan'), 50]))
    for metric in ('t2v/R1', 't2v/MdR'):
        assert run.best(metric, 'val')['t2v/R1'] == 80


@pytest.mark.parametrize('logged', [True, False])
def test_the_seed_is_of_the_log_or_the_config(make, logged):
    assert read_run(make('run', [1], 5, logged=logged)).seeds == [5]


def test_an_unknown_seed_is_shown_as_such(make):
    runs = [read_run(make('a', [1], None, test=2)), read_run(make('b', [], test=3))]
    assert [run.seeds for run in runs] == [[], []]
    table = format_summary(summarize([runs[0]] * 2, METRICS))
    assert ' ?,? ' in table
    assert run_warnings(runs) == []


def test_configs_are_parsed_and_never_executed(make, tmp_path):
    work_dir = make('run', [1], 3, logged=False)
    mark = tmp_path / 'executed'
    for path in [*work_dir.glob('*.py'), *work_dir.glob('*/*/config.py')]:
        path.write_text(f'open({str(mark)!r}, "w")\n' + path.read_text())
    assert read_run(work_dir).seeds == [3]
    path.write_text("randomness = {'seed': 4, 'deterministic': True}")
    assert read_run(work_dir).seeds == [4]
    path.write_text('randomness = dict(')
    with pytest.raises(InputError, match='config.py: not a dumped config'):
        read_run(work_dir)
    assert not mark.exists()


def test_warns_of_runs_that_are_not_independent_or_not_alike(make):
    runs = [read_run(make(name, [1], 1)) for name in 'ab']
    warning, = run_warnings(runs)
    assert '2 runs of centerclip_tiny have the seed 1' in warning
    assert len(summarize(runs, METRICS)[0].seeds) == 2
    other = read_run(make('c', [1], 2, cfg=dict(train_cfg=dict(max_epochs=2))))
    warning, = run_warnings([runs[0], other])
    assert 'configs of one name that differ in train_cfg' in warning
    inner = read_run(make('a/test', [], test=1))
    warning, = run_warnings([runs[0], inner])
    assert 'a/test lies in ' in warning
    make('c', [1], 3, time='20270101_000000',
         cfg=dict(train_cfg=dict(max_epochs=2)))
    warning, = run_warnings([read_run(other.work_dir)])
    assert 'the seeds 2, 3' in warning


def test_a_cut_last_line_is_left_out_and_damage_is_named(make):
    work_dir = make('run', [1, 2])
    path = work_dir / TIME / 'vis_data' / 'scalars.json'
    text = path.read_text()
    path.write_text(text[:-20])
    assert read_run(work_dir).last('val')['t2v/R1'] == 1
    path.write_text(text.replace('{', '', 1))
    with pytest.raises(InputError, match='scalars.json, line 1: not JSON'):
        read_run(work_dir)
    path.write_text('3\n')
    with pytest.raises(InputError, match="line 1: expected a JSON object, got '3'"):
        read_run(work_dir)


def test_bad_options_and_folders_are_named(make, tmp_path):
    work_dir = make('run', [1])
    with pytest.raises(InputError, match='no such work dir: no'):
        read_run('no')
    with pytest.raises(InputError, match=r'expected lines with retri/\.\.\.'):
        read_run(work_dir, 'retri')
    with pytest.raises(InputError, match="no metric 'R1', expected.* t2v/R1,"):
        summarize([read_run(work_dir)], ['R1'])
    with pytest.raises(InputError, match='no metric'):
        summarize([read_run(work_dir)], METRICS, best='t2v/R50')
    groups = summarize([read_run(work_dir)], METRICS)
    with pytest.raises(InputError, match='--csv .*no/a.csv: cannot be written'):
        write_csv(groups, tmp_path / 'no/a.csv', 'last')
    with pytest.raises(InputError, match='--plot .*a.xyz: cannot be written'):
        plot_summary(groups, tmp_path / 'a.xyz', 'title')
    with pytest.raises(InputError, match='one dumped config, .* got none'):
        read_run(tmp_path)
    (work_dir / 'second.py').write_text('')
    with pytest.raises(InputError, match='got centerclip_tiny, second'):
        read_run(work_dir)
