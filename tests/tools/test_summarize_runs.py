"""Means over seeds, from the files that MMEngine writes."""
import json
import statistics

from ..reference.work_dirs import METRICS, TIME, write_start

TOOL = 'analysis_tools/summarize_runs.py'


def test_seeds_are_summarized(run_tool, tmp_path):
    values, out = [41.5, 44, 42.25], tmp_path / 'out.json'
    dirs = [write_start(tmp_path / str(value), [10, value]) for value in values]
    dirs.append(write_start(tmp_path / 'other', [30], config='clip4clip_tiny'))
    printed = run_tool(TOOL, *dirs, '--out', out)
    title, *runs, first, second = printed.splitlines()
    assert title.split()[-6:] == METRICS and len(runs) == 4
    assert runs[0].split()[:3] == [f'{dirs[0]},', TIME, '41.50']
    mean, std = statistics.fmean(values), statistics.stdev(values)
    assert first.split()[:6] == ['centerclip_tiny,', '3', 'runs', f'{mean:.2f}', '±',
                                 f'{std:.2f}']
    assert second.split()[:6] == ['clip4clip_tiny,', '1', 'runs', '30.00', '±', '-']
    means = json.loads(out.read_text())
    assert means['centerclip_tiny']['v2t/R1'] == [mean + 10, std]
    assert means['clip4clip_tiny']['t2v/R1'] == [30, None]


def test_the_last_test_of_a_training_that_was_resumed(run_tool, tmp_path):
    work_dir = write_start(tmp_path / 'run', [1, 2], '20260101_000000')
    write_start(work_dir, [3], '20260102_000000')
    write_start(work_dir, [], '20260103_000000', test=5)
    assert ' 3.00 ' in run_tool(TOOL, work_dir)
    printed = run_tool(TOOL, work_dir, '--which', 'test')
    assert f'{work_dir}, 20260103_000000' in printed and ' 5.00 ' in printed


def test_a_cut_last_line_is_left_out_and_damage_is_named(run_tool, tmp_path):
    work_dir = write_start(tmp_path / 'run', [1, 2])
    path = work_dir / TIME / 'vis_data' / 'scalars.json'
    text = path.read_text()
    path.write_text(text[:-20])
    assert ' 1.00 ' in run_tool(TOOL, work_dir)
    path.write_text(text.replace('{', '', 1))
    said = run_tool(TOOL, work_dir)
    assert said.startswith(f'error: {path}, line 1: expected a JSON object, got')


def test_what_is_wrong_is_named(run_tool, tmp_path):
    empty = write_start(tmp_path / 'empty', [])
    assert f'error: {empty}: no evaluation, expected' in run_tool(TOOL, empty)
    said = run_tool(TOOL, write_start(tmp_path / 'run', [1]), '--metrics', 'mAP')
    assert 'scalars.json: expected numbers for retrieval/mAP, got ' in said
    said = run_tool(TOOL, empty, '--out', 'no/out.json')
    assert said == 'error: no/out.json: there is no folder no'
