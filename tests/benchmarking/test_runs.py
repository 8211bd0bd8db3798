import os
import statistics

import pytest

from mmaction_centerclip.benchmarking import read_run, run_warnings, summarize
from mmaction_centerclip.errors import InputError

from ..reference.work_dirs import METRICS, TIME, data, write_start


@pytest.fixture
def make(tmp_path):
    """Write one start of a tool into a work dir of a name."""
    return lambda name, *args, **options: write_start(
        tmp_path / name, *args, **options)


def recalls(run, which):
    return [evaluation['t2v/R1'] for evaluation in run.evaluations[which]]


def best_of(work_dir, metric):
    row, = summarize([read_run(work_dir)], ['t2v/R1'], best=metric)
    return row['t2v/R1 mean']


def test_the_deviation_is_of_the_sample(make):
    values = [41.5, 44, 42.25, 43]
    runs = [read_run(make(str(i), [v], i)) for i, v in enumerate(values)]
    row, = summarize(runs, ['t2v/R1', 'v2t/R5'])
    assert (row['config'], row['runs'], row['seeds']) == (
        'centerclip_tiny', 4, '0,1,2,3')
    assert row['v2t/R5 mean'] == statistics.mean(values) + 11
    assert row['t2v/R1 values'] == values
    assert row['t2v/R1 std'] == pytest.approx(
        (sum((v - 42.6875)**2 for v in values) / 3)**.5)
    assert summarize(runs[:1], ['t2v/R1'])[0]['t2v/R1 std'] is None


def test_a_resumed_and_then_tested_training_is_one_run(make):
    work_dir = make('run', [1, 2], time='20260101_000000')
    make('run', [3], time='20260102_000000')
    # Testing dumps the seed of the config, which is not that of training.
    make('run', [], seed=42, time='20260103_000000', test=4)
    run = read_run(work_dir)
    assert recalls(run, 'val') == [1, 2, 3] and recalls(run, 'test') == [4]
    assert run.seeds == [0]
    assert set(run.evaluations['test'][0]) == {*METRICS, 't2v/MdR'}
    assert best_of(work_dir, 't2v/R1') == best_of(work_dir, 't2v/MdR') == 3


def test_a_test_on_other_data_is_no_result(make):
    work_dir = make('run', [1], time='20260101_000000', cfg=data('test.json'))
    make('run', [], time='20260102_000000', test=44, cfg=data('test.json'))
    make('run', [], time='20260103_000000', test=97, cfg=data('train.json'))
    run = read_run(work_dir)
    assert recalls(run, 'test') == [44]
    assert 'test.json' in run.settings['test data']
    warning, = run_warnings([run])
    assert '1 tests on other data' in warning and '20260103' in warning


def test_without_a_training_the_last_tests_data_counts(make):
    work_dir = make('run', [], time='20260101_000000', test=44, cfg=data('test.json'))
    assert recalls(read_run(work_dir), 'test') == [44]
    make('run', [], time='20260102_000000', test=97, cfg=data('train.json'))
    run = read_run(work_dir)
    assert recalls(run, 'test') == [97]
    warning, = run_warnings([run], 'test')
    assert '1 tests on other data' in warning and '20260101' in warning


def test_other_data_is_another_row_of_what_was_evaluated_on_it(make):
    runs = [read_run(make(name, [value], value, cfg=dict(
        val_dataloader=dict(batch_size=value, dataset=dict(ann_file=ann_file)))))
            for name, value, ann_file in (
                ('a', 40, 'val.json'), ('b', 44, 'val.json'), ('c', 90, 'easy.json'))]
    assert [row['runs'] for row in summarize(runs, METRICS)] == [2, 1]
    warning, = run_warnings(runs)
    assert 'differ in val data;' in warning
    assert run_warnings(runs, 'test') == []


def test_a_dump_of_features_is_no_test(make):
    work_dir = make('run', [], time='20260101_000000', test=44)
    start = make('run', [], time='20260102_000000') / '20260102_000000'
    (start / f'{start.name}.json').write_text('{"data_time": 0.1}')
    assert recalls(read_run(work_dir), 'test') == [44]


def test_how_data_is_loaded_makes_no_row_of_its_own(make):
    runs = [read_run(make(str(n), [n], n, cfg=dict(
        train_dataloader=dict(batch_size=4, num_workers=n)))) for n in (1, 8)]
    assert len(summarize(runs, METRICS)) == 1 and run_warnings(runs) == []


def test_validations_and_tests_are_not_mixed(make):
    trained = read_run(make('a', [1], 1))
    tested = read_run(make('b', [], test=3))
    with pytest.raises(InputError, match='/a: no test, expected one'):
        summarize([trained, tested], METRICS, which='test')
    with pytest.raises(InputError, match='/b: no validation, expected one'):
        summarize([trained, tested], METRICS)


def test_other_settings_are_another_row(make):
    runs = [read_run(make(name, [value], value, cfg=dict(train_cfg=dict(epochs=e))))
            for name, value, e in (('a', 1, 5), ('b', 2, 5), ('c', 9, 6))]
    first, second = summarize(runs, METRICS)
    assert (first['config'], second['config']) == (
        'centerclip_tiny', 'centerclip_tiny (2)')
    assert (first['t2v/R1 mean'], second['t2v/R1 mean']) == (1.5, 9)


def test_best_is_the_lowest_rank_and_no_nan(make):
    work_dir = make('run', [30, 80, float('nan'), 50])
    for metric in ('t2v/R1', 't2v/MdR'):
        assert best_of(work_dir, metric) == 80


def test_an_unknown_seed_is_shown_as_such(make):
    runs = [read_run(make('a', [1], None, test=2)), read_run(make('b', [], test=3))]
    assert [run.seeds for run in runs] == [[], []]
    row, = summarize([runs[0]] * 2, METRICS)
    assert row['seeds'] == '?,?'
    assert run_warnings(runs) == []


def test_configs_are_parsed_and_never_executed(make, tmp_path):
    work_dir = make('run', [1], 3)
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
    assert summarize(runs, METRICS)[0]['runs'] == 2
    other = read_run(make('c', [1], 2, cfg=dict(train_cfg=dict(max_epochs=2))))
    warning, = run_warnings([runs[0], other])
    assert 'configs of one name that differ in train_cfg;' in warning
    inner = read_run(make('a/test', [], test=1))
    warning, = run_warnings([runs[0], inner])
    assert 'a/test lies in ' in warning
    make('c', [1], 3, time='20270101_000000',
         cfg=dict(train_cfg=dict(max_epochs=2)))
    warning, = run_warnings([read_run(other.work_dir)])
    assert 'the seeds [2, 3]' in warning


def test_a_cut_last_line_is_left_out_and_damage_is_named(make):
    work_dir = make('run', [1, 2])
    path = work_dir / TIME / 'vis_data' / 'scalars.json'
    text = path.read_text()
    path.write_text(text[:-20])
    cut = read_run(work_dir)
    assert recalls(cut, 'val') == [1] and cut.epochs == [1]
    whole = cut._replace(evaluations=dict(val=cut.evaluations['val'] * 2),
                         epochs=[1, 2])
    assert any('is of epoch 1, that of the first run of 2' in warning
               for warning in run_warnings([whole, cut]))
    assert summarize([cut], METRICS)[0]['epochs'] == '1'
    path.write_text(text.replace('{', '', 1))
    with pytest.raises(InputError, match='scalars.json, line 1: expected a JSON obj'):
        read_run(work_dir)
    path.write_text('{"retrieval/t2v/R1": 1' + '0' * 400 + '}\n')
    with pytest.raises(InputError, match='line 1: .*an integer of 401 digits'):
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
    with pytest.raises(InputError, match='one dumped config, .* got none'):
        read_run(tmp_path)
    os.mkfifo(tmp_path / 'pipe.py')
    with pytest.raises(InputError, match='pipe.py: .* not a regular file'):
        read_run(tmp_path)
    (work_dir / 'second.py').write_text('')
    with pytest.raises(InputError, match='got centerclip_tiny, second'):
        read_run(work_dir)
