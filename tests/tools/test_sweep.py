"""The sweep: rows, what is done is kept, failures, table and picture."""
import csv
import json
import shutil
import sys
import time

import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.benchmarking import build_model, cell_key
from mmaction_centerclip.benchmarking.sweep import train_key
from mmaction_centerclip.clip.feature_settings import SETTINGS

from ..processes import kill, start_tool

TOOL = 'analysis_tools/sweep.py'
REDUCERS = ['--reducers', 'kmedoids', 'random']
BUDGETS = ['--budgets', '2,4,8', '2,2,8']
FAST = ['--clock', 'process', '--repeats', '1', '--batch-size', '2']
TIMES = ('ms', 'twin_ms', 'time_ratio')


@pytest.fixture(scope='module')
def trained(tiny_config, tmp_path_factory):
    """The config, and checkpoints of two seeds of its model without necks."""
    folder = tmp_path_factory.mktemp('twins')
    for seed in range(2):
        torch.manual_seed(seed)
        cfg = Config.fromfile(tiny_config)
        cfg.model.backbone.necks = []
        model = build_model(cfg)
        torch.save(model.state_dict(), folder / f'seed{seed}.pth')
    return [tiny_config, '--checkpoint', folder / 'seed{seed}.pth', '--seeds', 0, 1]


def rows_of(folder):
    return [json.loads(line) for line in (folder / 'cells.jsonl').open()]


def without_times(rows):
    return [dict(row, figures={name: x for name, x in row['figures'].items()
                               if name not in TIMES}) for row in rows]


@pytest.mark.slow
def test_a_sweep_and_what_is_done_is_kept(run_tool, trained, tmp_path):
    printed = run_tool(TOOL, *trained, *REDUCERS, *BUDGETS, *FAST, '--work-dir',
                       tmp_path)
    assert '10 cells, 0 of them done before' in printed
    rows = rows_of(tmp_path)
    assert [(row['cell']['reducer'], row['cell']['segments']) for row in rows] == 2 * [
        ('none', None), ('kmedoids', 4), ('kmedoids', 2), ('random', 4), ('random', 2)]
    none, four, two = (row['figures'] for row in rows[:3])
    assert none['mac_ratio'] == 1 > four['mac_ratio'] > two['mac_ratio']
    assert none['test/cosine'] == pytest.approx(1) and four['test/cosine'] < 1
    assert all(row['figures']['time_ratio'] > 0 for row in rows)
    lines = list(csv.DictReader((tmp_path / 'table.csv').open()))
    assert [line['seeds'] for line in lines] == ['2'] * 5
    values = [row['figures']['t2v/R1'] for row in rows if
              row['cell']['reducer'] == 'random' and row['cell']['segments'] == 2]
    assert float(lines[4]['t2v/R1']) == pytest.approx(sum(values) / 2)
    assert (tmp_path / 'sweep.png').read_bytes().startswith(b'\x89PNG')
    page = (tmp_path / 'table.md').read_text(encoding='utf-8').splitlines()
    assert page[9] == '' and page[0] in printed and page[8].startswith(
        f'| random | 2, 2, 8 | 2 | {sum(values) / 2:.1f} ')

    # More cells: those that are there are not measured again.
    printed = run_tool(TOOL, *trained, '--reducers', 'kmedoids', 'norm', *BUDGETS,
                       *FAST, '--work-dir', tmp_path)
    assert '10 cells, 6 of them done before' in printed
    assert rows_of(tmp_path)[:10] == rows and len(rows_of(tmp_path)) == 14


@pytest.mark.slow
def test_a_cell_that_fails_is_a_row_that_says_why(run_tool, trained, tmp_path):
    reducers = tmp_path / 'own.py'
    reducers.write_text("reducers = dict(odd=dict(type='NoNeck'),\n"
                        "    mine=dict(type='TokenClustering', distance='far'),\n"
                        "    learned=dict(type='TokenClustering', "
                        "cluster_embed='zeros'))\n")
    options = [*trained, '--reducer-file', reducers, '--reducers', 'odd', 'mine',
               'learned', 'tome', 'sparse', '--budgets', '2,3,8', '--seeds', 0, *FAST,
               '--work-dir', tmp_path]
    printed = run_tool(TOOL, *options)
    failed = {row['cell']['reducer']: row.get('failed') for row in rows_of(tmp_path)}
    assert failed.pop('none') is None
    for name, reason in dict(
            odd='type must be a registered neck', mine="got 'far'",
            learned='lacks what a reducer learns in training',
            sparse='num_segments must divide the number of frames').items():
        assert reason in failed[name] and failed[name] in printed
    assert (tmp_path / 'sweep.png').is_file()
    assert '6 of them done before' in run_tool(TOOL, *options)
    assert '1 of them done before' in run_tool(TOOL, *options, '--retry-failed')


def test_clips_without_captions(run_tool, trained, shapes, tmp_path):
    options = [*trained, '--reducers', 'kmedoids', '--budgets', '2,2,16', *FAST,
               '--videos', shapes / 'videos', '--no-retrieval', '--seeds', 0]
    said = run_tool(TOOL, *options, '--work-dir', tmp_path, '--format', 'svg')
    assert said.startswith('error: ') and 'there are 0 clips of 32 frames' in said


@pytest.mark.slow
def test_cells_are_told_by_what_made_them(load_tool, tiny_config, shapes, tmp_path,
                                          monkeypatch):
    """By the contents of weights, annotations and videos, whatever their names."""
    tool, weights, data = load_tool(TOOL), tmp_path / 'a.pth', tmp_path / 'shapes'
    shutil.copytree(shapes, data)
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.necks = []
    for name in ('train', 'test'):
        cfg[f'{name}_dataloader'].dataset.data_root = str(data)
    cfg.dump(tmp_path / 'tiny.py')
    model = build_model(cfg)
    torch.save(model.state_dict(), weights)
    captions = json.loads((data / 'test.json').read_text())
    first, second, *_ = (data / 'videos' / name for name in captions)

    def make_run(*options):
        monkeypatch.setattr(sys, 'argv', list(map(str, (
            'sweep.py', tmp_path / 'tiny.py', *options, '--budgets', '2,2,8',
            '--work-dir', tmp_path))))
        run, = tool.make_runs(str(tmp_path / 'tiny.py'), 0, tool.parse_args())
        return run

    def contents(*options):
        run = make_run(*options)
        return run.contents, run.clips

    # Prices have no part in a training, but in a cell.
    cells = [make_run('--train', '--repeats', repeats).cells({}, [])[0]
             for repeats in (1, 2)]
    assert cell_key(cells[0]) != cell_key(cells[1])
    assert train_key(cells[0]) == train_key(cells[1])
    ways = [('--checkpoint', weights), ('--pretrained', weights), ('--train', ),
            ('--finetune', weights)]
    clips = ('--checkpoint', weights, '--no-retrieval', '--videos', data / 'videos')
    found = [{way: contents(*way) for way in (*ways, clips)}]
    assert found[0][clips] == contents(*clips)
    model.backbone.proj.data += 1
    torch.save(model.state_dict(), weights)
    found.append({way: contents(*way) for way in (*ways, clips)})
    first.write_bytes(second.read_bytes())
    found.append({way: contents(*way) for way in (*ways, clips)})
    (data / 'test.json').write_text(json.dumps({**captions, first.name: ['other']}))
    found.append({way: contents(*way) for way in (*ways, clips)})
    changed = [[way for way in before if before[way] != after[way]]
               for before, after in zip(found, found[1:])]
    assert changed == [[way for way in (*ways, clips) if way != ('--train', )],
                       [*ways, clips], ways]


@pytest.mark.slow
def test_the_whole_evaluation_and_step_have_a_price(run_tool, trained, tmp_path):
    printed = run_tool(TOOL, *trained, '--reducers', 'segment-mean', '--budgets',
                       '2,2,8', *FAST, '--seeds', 0, '--price', 'step', 'evaluation',
                       '--work-dir', tmp_path)
    assert 'eval ratio' in printed and 'step ratio' in printed
    for row in rows_of(tmp_path):
        assert row['cell']['price'] == ['tower', 'evaluation', 'step']
        assert row['figures']['mib_ratio'] > 0 < row['figures']['step_mib_ratio']
        assert row['figures']['eval_ratio'] > 0 < row['figures']['step_ratio']


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_equal_rows(run_tool, trained, tmp_path):
    options = [*map(str, trained), *REDUCERS, *BUDGETS, *FAST, '--seeds', 0,
               '--work-dir']
    killed, whole = tmp_path / 'killed', tmp_path / 'whole'
    process = start_tool(TOOL, *options, killed)
    log = killed / 'cells.jsonl'
    while process.is_alive() and not (log.is_file() and log.read_bytes().count(
            b'\n') >= 2):
        time.sleep(.002)
    kill(process)
    before = rows_of(killed)
    assert 2 <= len(before) < 5
    with log.open('a') as file:
        file.write('{"cell": {"see')  # as a kill in the middle of a row leaves it
    printed = run_tool(TOOL, *options, killed)
    assert f'{len(before)} of them done before' in printed
    run_tool(TOOL, *options, whole)
    assert rows_of(killed)[:len(before)] == before
    assert without_times(rows_of(killed)) == without_times(rows_of(whole))


@pytest.mark.slow
def test_a_training_ends_with_its_sweep(run_tool, tiny_config, tmp_path):
    options = [tiny_config, '--train', '--reducers', 'random', '--budgets', '2,2,8',
               *FAST, '--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_epochs=2',
               'param_scheduler.end=2']
    process = start_tool(TOOL, *options)
    while process.is_alive() and not any(tmp_path.glob('train/*/epoch_1.pth')):
        time.sleep(.01)
    process.kill()  # and nothing of what it has started
    process.join()
    run_tool(TOOL, *options)
    assert ['failed' in row for row in rows_of(tmp_path)] == [False, False]
    logs = [path.read_text() for path in tmp_path.glob('train/*.log')]
    assert any('Resuming from' in log for log in logs)


@pytest.mark.slow
def test_cells_are_trained_and_finetuned(run_tool, tiny_config, trained, tmp_path):
    options = ['--reducers', 'kmedoids', *FAST, '--work-dir', tmp_path, '--cfg-options',
               'train_cfg.max_epochs=1', 'train_cfg.val_interval=1',
               'param_scheduler.end=1']
    run_tool(TOOL, tiny_config, '--train', '--budgets', '2,3,8', *options)
    none, three = rows_of(tmp_path)
    assert none['figures']['mac_ratio'] == 1 and 't2v/R1' in none['figures']
    assert 'the training ended with code 1, see' in three['failed']
    assert 'num_segments must divide' in three['failed']
    # From weights, whose name is a pattern.
    logs = tmp_path / 'train'
    before = {*logs.glob('*.log')}
    printed = run_tool(
        TOOL, tiny_config, '--checkpoint', trained[2], '--finetune', trained[2],
        '--budgets', '2,2,8', '--against', 'none', 'kmedoids', *options,
        '--finetune-options', 'optim_wrapper.optimizer.lr=1e-5')
    assert 't2v R@1 finetuned' in printed and 'minus that of kmedoids' in printed
    start = f'Loaded CLIP weights from {str(trained[2]).format(seed=0)}'
    made = {*logs.glob('*.log')} - before
    assert len(made) == 2 and all(start in log.read_text() for log in made)
    assert all('lr=1e-05' in log.with_suffix('.py').read_text() for log in made)
    *_, put_in, _, two = rows_of(tmp_path)
    assert [row['cell']['way'] for row in (put_in, two)] == ['put in', 'finetuned']
    assert two['figures']['mac_ratio'] < 1 and 'test/cosine' not in two['figures']
    page = (tmp_path / 'table.md').read_text(encoding='utf-8')
    assert '| kmedoids | 2, 2, 8 | 1 | ' in page
    assert page.count('R@1 minus that of') == 2


def test_a_checkpoint_of_another_number_of_frames(run_tool, trained, tmp_path):
    state = torch.load(str(trained[2]).format(seed=0))
    torch.save(dict(state_dict=state, meta={SETTINGS: dict(num_frames=3)}),
               tmp_path / 'three.pth')
    command = [TOOL, trained[0], '--checkpoint', tmp_path / 'three.pth', '--reducers',
               'random', '--budgets', '2,2,8', *FAST, '--work-dir', tmp_path / 'dir']
    assert 'num_frames 3, here 8' in run_tool(*command)
    assert '2 cells' in run_tool(*command, '--allow-other', 'num_frames')
    assert all('failed' not in row for row in rows_of(tmp_path / 'dir'))


@pytest.mark.parametrize('options, message', [
    (['--reducers', 'best'], "--reducers must be one of"),
    (['--budgets', '2,4'], "a budget is BLOCK,SEGMENTS,TOKENS"),
    (['--budgets', '2,0,4'], "got '2,0,4'"),
    (['--seeds', '1', '0', '1'], '--seeds: expected each once, got [1, 0, 1]'),
    (['--checkpoint', 'no{seed}.pth'], 'no such file: no0.pth'),
    (['--checkpoint', 'x{foo}{'], 'no such file: x{foo}{'),
    (['--against', 'best'], '--against must be one of'),
    (['--reducer-file', 'bad.json'], 'bad.json: expected reducers, a dict of names'),
    (['--reducer-file', 'none.json'], 'none.json: expected reducers, a dict of names'),
])
def test_bad_options_are_named(run_tool, trained, tmp_path, monkeypatch, options,
                               message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bad.json').write_text('{"reducers": {"x": 5}}')
    (tmp_path / 'none.json').write_text('{"x": 5}')
    said = run_tool(TOOL, *trained, *REDUCERS, *BUDGETS, '--work-dir', tmp_path / 'x',
                    *options)
    assert said.startswith('error: ') and message in said
    assert not (tmp_path / 'x').exists()
