"""Jobs are done once, whatever crashes or is killed."""
import json
import os

import pytest

from mmaction_centerclip.datasets.doctor.diagnose import run_jobs


def work(number):
    if number in (3, 11):
        os._exit(9)  # As a decoder that crashes.
    return dict(number=number, process=os.getpid())


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 3])
def test_a_crash_is_the_fault_of_one_job(workers, tmp_path):
    jobs = {f'job {i}': i for i in range(20)}
    path = str(tmp_path / 'results.jsonl')
    results = run_jobs(work, jobs, path, workers)
    for number, result in enumerate(results):
        if number in (3, 11):
            assert result == dict(state='unreadable', reason='a decoder crashes on it')
        else:
            assert result['number'] == number and result['process'] != os.getpid()
    before = (tmp_path / 'results.jsonl').read_text()
    assert run_jobs(None, jobs, path, workers) == results
    assert (tmp_path / 'results.jsonl').read_text() == before


def test_a_half_written_line_is_done_again(tmp_path):
    path = tmp_path / 'results.jsonl'
    lines = [json.dumps(dict(key=f'job {i}', result=dict(old=i))) for i in range(3)]
    path.write_text('\n'.join(lines)[:-4])
    results = run_jobs(work, {f'job {i}': i for i in range(3)}, str(path), 1)
    assert results[:2] == [dict(old=0), dict(old=1)] and results[2]['number'] == 2
    assert [json.loads(line)['key'] for line in path.read_text().splitlines()] == [
        'job 0', 'job 1', 'job 2']
