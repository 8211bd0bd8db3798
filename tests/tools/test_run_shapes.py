"""The comparisons on the shapes data, their pieces and one tiny run of each."""
import json
import re
import sys
from types import SimpleNamespace

import pytest
import torch

from mmaction_centerclip.evaluation import RetrievalFeatures, save_features


@pytest.fixture
def shapes_tool(load_tool):
    return load_tool('run_shapes.py')


@pytest.fixture
def heads_tool(load_tool):
    return load_tool('run_shapes_heads.py')


def test_a_row_a_model(shapes_tool):
    rows = {}
    for name, start in (('CLIP4Clip', 10.), ('CenterCLIP', 45.06)):
        rows[name] = {f'retrieval/{metric}': start + i
                      for i, metric in enumerate(shapes_tool.METRICS)}
        rows[name].update(gmacs=.12345, ms=start / 10)
    titles, first, second = shapes_tool.format_rows(rows).splitlines()
    assert titles.split() == ['model', 't2v/R1', 't2v/R5', 't2v/R10', 'v2t/R1',
                              'v2t/R5', 'v2t/R10', 'GMACs/video', 'ms/video']
    assert first.split() == ['CLIP4Clip', '10.0', '11.0', '12.0', '13.0', '14.0',
                             '15.0', '0.1235', '1.00']
    assert second.split()[:3] == ['CenterCLIP', '45.1', '46.1']
    assert second.split()[-1] == '4.51'
    assert len(titles) == len(first) == len(second)


@pytest.mark.slow
def test_a_tiny_comparison_and_what_is_done_is_skipped(
        shapes_tool, tiny_config, shapes, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(shapes_tool, 'CONFIGS', dict(Tiny=tiny_config))
    monkeypatch.setattr(
        sys, 'argv', ['run_shapes.py', '--work-dir', str(tmp_path)])
    measure = shapes_tool.measure
    monkeypatch.setattr(shapes_tool, 'measure', lambda dirs: measure(dirs, 2))
    run = shapes_tool.run

    def run_few_videos(tool, *args):
        if tool.name == 'prepare_shapes.py':  # as the fixture rendered them
            args += ('--out', shapes, '--num-train', 24, '--num-test', 9)
        run(tool, *args)

    monkeypatch.setattr(shapes_tool, 'run', run_few_videos)
    shapes_tool.main()
    first = capfd.readouterr().out
    assert 'nothing to do' in first and len(re.findall(r' loss: ', first)) == 18
    table = json.loads((tmp_path / 'table.json').read_text())
    row = table['Tiny']
    assert row['gmacs'] > 0 and row['ms'] > 0
    assert f'Tiny  {row["retrieval/t2v/R1"]:.1f}' in re.sub(' +', '  ', first)
    weights = (tmp_path / 'tiny' / 'epoch_3.pth').stat().st_mtime_ns

    shapes_tool.main()
    assert ' loss: ' not in capfd.readouterr().out
    assert (tmp_path / 'tiny' / 'epoch_3.pth').stat().st_mtime_ns == weights
    again = json.loads((tmp_path / 'table.json').read_text())['Tiny']
    for name, value in row.items():
        if name.startswith('retrieval/'):
            assert again[name] == value


def test_a_tool_that_fails_ends_the_comparison(shapes_tool, heads_tool, tmp_path):
    script = tmp_path / 'bad.py'
    script.write_text('raise SystemExit("too bad")')
    with pytest.raises(SystemExit, match='bad.py failed, see above'):
        shapes_tool.run(script)
    log = tmp_path / 'logs' / 'bad.log'
    with pytest.raises(SystemExit, match=f'bad.py failed, see {log}'):
        heads_tool.run(script, threads=1, log=log)
    assert log.read_text() == 'too bad\n'


@pytest.mark.parametrize('caption, expected', [
    ('a red ball moves left', 'a red ball moves right'),
    ('it goes up, then right, and down', 'it goes down, then left, and up'),
    ('a group stays upright', 'a group stays upright'),
])
def test_opposite_captions(heads_tool, caption, expected):
    assert heads_tool.opposite(caption) == expected
    assert heads_tool.opposite(expected) == caption


def test_directions_are_annotated(heads_tool, tmp_path):
    (tmp_path / 'test.json').write_text(json.dumps(
        {'a.mp4': ['goes left', 'other'], 'b.mp4': ['falls down']}))
    heads_tool.write_directions(tmp_path, tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text()) == {
        'a.mp4': ['goes left', 'goes right'], 'b.mp4': ['falls down', 'falls up']}


@pytest.mark.parametrize('pairwise', [False, True])
def test_a_direction_is_told_where_the_own_caption_scores_more(
        heads_tool, tmp_path, pairwise):
    """Four videos: two told, one not, and one tie, which counts for half."""
    own = torch.tensor([[.9, .1], [.5, .4], [.2, .3], [.7, .7]])
    similarity = torch.rand(8, 4)
    video_of_text = torch.arange(4).repeat_interleave(2)
    similarity[torch.arange(8), video_of_text] = own.flatten()
    features = RetrievalFeatures(
        video=dict(video=torch.eye(4)), text=dict(text=similarity),
        video_of_text=video_of_text, filenames=list('abcd'), captions=['x'] * 8,
        similarity=similarity if pairwise else None)
    path = tmp_path / 'features.pth'
    save_features(features, str(path))
    assert heads_tool.direction_accuracy(path) == 62.5


def test_a_row_a_head_and_tower(heads_tool):
    rows = {('clip4clip', 'meanp'): [{'t2v/R1': x, 'v2t/R1': 2 * x, 'MnR': 1}
                                     for x in (1, 2, 6)],
            ('centerclip', 'xpool'): [{'t2v/R1': 12.34, 'v2t/R1': 5}]}
    titles, first, second = heads_tool.format_rows(rows).splitlines()
    assert re.split('  +', titles) == ['head', 'tower', 'seeds', 't2v R@1', 'v2t R@1']
    assert re.split('  +', first) == ['meanp', 'clip4clip', '3', '3.0 ± 2.6',
                                      '6.0 ± 5.3']
    assert re.split('  +', second) == ['xpool', 'centerclip', '1', '12.3 ± 0.0',
                                       '5.0 ± 0.0']
    told = {('clip4clip', 'meanp'): [{'direction': 50., 't2v/R1': 1}]}
    assert heads_tool.format_rows(told).splitlines()[0].split()[-1] == 'direction'


def test_every_head_and_tower_has_one_config(heads_tool):
    found = [heads_tool.find_config(data, folder, head)
             for data, options in heads_tool.DATA.items()
             for folder in options['towers'] for head in options['heads']]
    assert len(set(found)) == len(found)


def test_what_was_measured_is_read_unless_settings_differ(heads_tool, tmp_path):
    args = SimpleNamespace(work_dir=tmp_path, data='shapes', jobs=1, epochs=4,
                           base_epochs=10)
    folder = tmp_path / 'clip4clip-wti-seed1'
    folder.mkdir()
    result = {'t2v/R1': 3., 'settings': dict(epochs=4, base_epochs=10)}
    (folder / 'result.json').write_text(json.dumps(result))
    assert heads_tool.measure('clip4clip', 'wti', 1, 'base.pth', args) == result
    args.epochs = 5
    with pytest.raises(SystemExit, match="seed1 was made with {'epochs': 4"):
        heads_tool.measure('clip4clip', 'wti', 1, 'base.pth', args)


@pytest.mark.parametrize('options, message', [
    (['--data', 'motion', '--heads', 'wti'], 'goes with --heads meanp seqtransf'),
    (['--data', 'motion', '--epochs', '2'], 'go with --data shapes'),
    (['--jobs', '0'], 'argument --jobs: must be positive, got 0'),
])
def test_bad_options_are_named(heads_tool, monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, 'argv', ['run_shapes_heads.py', *options])
    with pytest.raises(SystemExit):
        heads_tool.main()
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize('data', ['shapes', 'motion'])
def test_a_tiny_run_of_the_heads(heads_tool, tiny_config, shapes, tmp_path,
                                 monkeypatch, capsys, data):
    """The tiny config in place of all; what is done is not done again."""
    options = [*heads_tool.DATA[data]['options'], '--out', str(shapes),
               '--num-train', '24', '--num-test', '9']
    monkeypatch.setitem(heads_tool.DATA, data, dict(
        heads_tool.DATA[data], root=shapes, options=options, towers=('clip4clip', )))
    monkeypatch.setattr(heads_tool, 'find_config', lambda *args: tiny_config)
    if data == 'motion':  # rendered with objects of its own: take those of the rest
        run = heads_tool.run
        monkeypatch.setattr(
            heads_tool, 'run', lambda tool, *args, **kwargs: None if
            tool.name == 'prepare_shapes.py' else run(tool, *args, **kwargs))
    seeds, epochs = ['1'], []
    if data == 'shapes':
        seeds, epochs = ['0', '1'], ['--epochs', '1', '--base-epochs', '1']
    monkeypatch.setattr(sys, 'argv', [
        'run_shapes_heads.py', '--data', data, '--heads', 'meanp', '--seeds', *seeds,
        '--work-dir', str(tmp_path / 'work'), *epochs])
    (tmp_path / 'work').mkdir()
    heads_tool.main()
    first = capsys.readouterr().out.splitlines()[-2:]
    assert first[1].split()[:3] == ['meanp', 'clip4clip', str(len(seeds))]
    assert ('direction' in first[0]) == (data == 'motion')
    results = [json.loads(path.read_text())
               for path in sorted((tmp_path / 'work').glob('*/result.json'))]
    assert len(results) == len(seeds)
    mean = sum(result['t2v/R1'] for result in results) / len(seeds)
    assert f' {mean:.1f} ±' in first[1]
    if data == 'motion':
        assert all(0 <= result['direction'] <= 100 for result in results)
    else:
        log = (tmp_path / 'work/clip4clip-meanp-seed1/train.log').read_text()
        assert re.search(r'Loaded CLIP weights from .*base/epoch_1.pth', log)
    monkeypatch.setattr(heads_tool, 'train', lambda *args: 'no.pth')
    heads_tool.main()
    assert capsys.readouterr().out.splitlines()[-2:] == first


def test_it_writes_into_the_current_folder(shapes_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tool = tmp_path / 'elsewhere' / 'tool.py'
    tool.parent.mkdir()
    tool.write_text("open('data.txt', 'w')")
    shapes_tool.run(tool)
    assert (tmp_path / 'data.txt').exists()
