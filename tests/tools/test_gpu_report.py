"""The report for a GPU, in small on the CPU."""
import json
import os
import re
import subprocess
import sys
import time

import pytest
import torch

from mmaction_centerclip.benchmarking.gpu_parts import PARTS, STAGES, Settings
from mmaction_centerclip.benchmarking.gpu_report import (
    choose_stages,
    format_markdown,
    measure_cases,
    run_report,
)

from ..paths import ROOT, TOOLS

TOOL = 'analysis_tools/gpu_report.py'
# Which is faster; those that need one of their own run in the slow test.
IN_THIS_PROCESS = ('spectral', 'training', 'stock zoo', 'towers',
                   'compiled float32', 'compiled bfloat16')


@pytest.fixture
def outputs(tmp_path):
    return ['--json', tmp_path / 'out.json', '--markdown', tmp_path / 'out.md']


def settings_of(tmp_path):
    return Settings(str(ROOT), 'cpu', dry_run=True, lock=str(tmp_path / 'lock'))


def test_every_part_has_its_share_of_the_time():
    assert [name for _, parts in STAGES for name in parts] == list(PARTS)
    assert choose_stages(['towers', 'tests']) == [(2, ['tests']), (4, ['towers'])]
    assert choose_stages(None) == [(share, list(parts)) for share, parts in STAGES]


@pytest.mark.slow
@pytest.mark.parametrize('name', IN_THIS_PROCESS)
def test_a_part_in_small(name, tmp_path):
    cases = dict(PARTS[name](settings_of(tmp_path)))
    case, measure = next(iter(cases.items()))
    assert len(cases) == dict(towers=6, training=3).get(
        name, 1 if name == 'spectral' else 2)
    row = measure()
    assert all(isinstance(value, float) and value >= 0 for value in row.values()), row
    assert row.get('same result, %', 100) == 100


def test_a_full_run_has_all_rows_of_the_docs():
    cases = [case for case, _ in PARTS['towers'](Settings('.'))]
    text = (ROOT / 'docs/performance.md').read_text()
    table = text.partition('Batch 1, median')[2].partition('Batch 16')[0]
    rows = [line.split(' | ')[0][2:] for line in table.splitlines() if '->' in line]
    assert len(rows) == 7  # with the titles
    assert cases == [
        f'{row}, {dtype}, {videos} videos'
        for row in rows[1:]
        for dtype in ('float32', 'float16', 'bfloat16') for videos in (1, 32)]


def test_a_case_that_fails_or_comes_too_late_is_a_row_that_says_why():
    def fail():
        raise torch.OutOfMemoryError('out of memory\nand more')

    def cases():
        yield 'one', lambda: dict(ms=1.0)
        yield 'two', fail
        yield 'three', lambda: dict(ms=3.0)
        raise KeyError('nothing more')

    assert list(measure_cases(cases(), time.time() + 60)) == [
        dict(case='one', ms=1.0),
        dict(case='two', error='OutOfMemoryError: out of memory'),
        dict(case='three', ms=3.0),
        dict(case='the next case', error="KeyError: 'nothing more'")]
    late, *_ = measure_cases(cases(), time.time() - 1)
    assert late == dict(case='one', error='not run: the time of this part was over')


@pytest.mark.slow
def test_a_part_that_hangs_ends_no_other(tmp_path):
    saved = []
    nowhere = Settings(str(tmp_path), 'cpu', dry_run=True)
    report = run_report(nowhere, 1 / 30, [(1, ['no part']), (1, ['stock zoo'])],
                        lambda report: saved.append(len(report['rows'])))
    assert saved == [1, 2] and report['seconds'] < 10
    for row, name in zip(report['rows'], ('no part', 'stock zoo')):
        # A second is not enough to import torch.
        error = row.pop('error')
        assert row == dict(part=name, case='the next case')
        assert re.fullmatch('stopped: [01] s, the time of this part, were over', error)


@pytest.mark.slow
def test_a_part_that_dies_is_a_row(tmp_path):
    report = run_report(Settings(str(tmp_path), 'cpu', dry_run=True), 2,
                        [(1, ['no part'])], dict)
    assert report['rows'][0]['error'] == (
        "the process of this part ended by exit code 1: KeyError: 'no part'")


def test_the_section_has_tables_and_what_failed():
    report = dict(
        device='a GPU', dry_run=False, cuda='13.0', python='3.12', seconds=61.2,
        float32_matmul='highest', rows=[
            dict(part='towers', case='A, 12 -> 3', ms=1.23456, ratio=2.0),
            dict(part='towers', case='B', error='RuntimeError: no'),
            dict(part='tests', case='C', result='passed')])
    head, towers, tests = format_markdown(report).split('\n### ')
    assert head.startswith('## On a GPU\n\na GPU, CUDA 13.0') and '61 s' in head
    assert towers == ('Towers\n\n| case | ms | ratio |\n| --- | --- | --- |\n'
                      '| A, 12 -> 3 | 1.235 | 2 |\n\n- B: RuntimeError: no\n')
    assert tests.splitlines()[-1] == '| C | passed |'
    assert 'dry run' in format_markdown(dict(report, dry_run=True))


def test_it_says_what_it_cannot_do(run_tool, outputs):
    if not torch.cuda.is_available():
        assert run_tool(TOOL, *outputs) == (
            'error: there is no GPU that torch can use; --dry-run runs all parts in '
            'small on the CPU')
    said = run_tool(TOOL, '--dry-run', '--minutes', 0, *outputs)
    assert said == 'error: --minutes must be above 0, got 0.0'


@pytest.mark.slow
def test_a_dry_run_saves_each_part_as_it_ends(outputs, tmp_path):
    parts = [name for name in PARTS if name not in IN_THIS_PROCESS]
    process = subprocess.Popen(
        [sys.executable, TOOLS / TOOL, '--dry-run', '--parts', *parts, *outputs],
        stdout=subprocess.PIPE, text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)))
    seen = []
    while process.poll() is None:  # what is there if it were killed now
        if (tmp_path / 'out.json').exists():
            seen.append(json.loads((tmp_path / 'out.json').read_text()))
        time.sleep(0.1)
    report = json.loads((tmp_path / 'out.json').read_text())
    assert [row for row in report['rows'] if 'error' in row] == []
    assert list(dict.fromkeys(row['part'] for row in report['rows'])) == parts
    assert {row['part'] for row in seen[0]['rows']} == set(parts[:1])
    text = (tmp_path / 'out.md').read_text()
    assert text in process.stdout.read() and 'its figures mean nothing' in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out.json', 'out.md']
