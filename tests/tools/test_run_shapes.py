"""The comparison on the shapes data, its pieces and one tiny run."""
import json
import re
import sys

import pytest


@pytest.fixture
def shapes_tool(load_tool):
    return load_tool('run_shapes.py')


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
        shapes_tool, run_tool, tiny_config, shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shapes_tool, 'CONFIGS', dict(Tiny=tiny_config))
    monkeypatch.setattr(
        sys, 'argv', ['run_shapes.py', '--work-dir', str(tmp_path)])
    measure = shapes_tool.measure
    monkeypatch.setattr(shapes_tool, 'measure', lambda dirs: measure(dirs, 2))

    def run_few_videos(tool, *args):
        if tool.name == 'prepare_shapes.py':  # as the fixture rendered them
            args += ('--out', shapes, '--num-train', 24, '--num-test', 9)
        print(run_tool(tool, *args))

    monkeypatch.setattr(shapes_tool, 'run', run_few_videos)
    shapes_tool.main(shapes_tool.parse_args())
    first = capsys.readouterr().out
    assert 'nothing to do' in first and len(re.findall(r' loss: ', first)) == 12
    table = json.loads((tmp_path / 'table.json').read_text())
    row = table['Tiny']
    assert row['gmacs'] > 0 and row['ms'] > 0
    assert f'Tiny  {row["retrieval/t2v/R1"]:.1f}' in re.sub(' +', '  ', first)
    weights = (tmp_path / 'tiny' / 'epoch_2.pth').stat().st_mtime_ns

    shapes_tool.main(shapes_tool.parse_args())
    assert ' loss: ' not in capsys.readouterr().out
    assert (tmp_path / 'tiny' / 'epoch_2.pth').stat().st_mtime_ns == weights
    again = json.loads((tmp_path / 'table.json').read_text())['Tiny']
    for name, value in row.items():
        if name.startswith('retrieval/'):
            assert again[name] == value


def test_a_tool_that_fails_ends_the_comparison(shapes_tool, tmp_path):
    script = tmp_path / 'bad.py'
    script.write_text('raise SystemExit("too bad")')
    with pytest.raises(SystemExit, match='bad.py failed, see above'):
        shapes_tool.run(script)


def test_it_writes_into_the_current_folder(shapes_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tool = tmp_path / 'elsewhere' / 'tool.py'
    tool.parent.mkdir()
    tool.write_text("open('data.txt', 'w')")
    shapes_tool.run(tool)
    assert (tmp_path / 'data.txt').exists()
