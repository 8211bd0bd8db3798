"""Many items in processes, of which some fail or die."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmaction_centerclip.utils.parallel import ProcessDied, run_each

from ..paths import ROOT


def work(item):
    if item == 3:
        raise ValueError('three')
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return item, os.getpid()


@pytest.mark.parametrize('workers', [1, 3])
def test_one_item_does_not_end_the_others(workers):
    results = dict(run_each(work, range(20), workers))
    assert sorted(results) == list(range(20))
    assert isinstance(results[3], ValueError)
    assert isinstance(results.pop(5), ProcessDied)
    assert all(result[0] == item and result[1] != os.getpid()
               for item, result in results.items() if item != 3)


@pytest.mark.slow
def test_processes_end_with_a_killed_parent(tmp_path):
    # Not a fork of this process, which may have threads.
    parent = subprocess.Popen([
        sys.executable, '-W', 'ignore', '-m', 'tests.utils.test_parallel', tmp_path],
        cwd=ROOT, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.glob('*'))) < 2:
        time.sleep(.05)
    workers = {int(path.read_text() or 0) for path in tmp_path.glob('*')}
    parent.kill()
    parent.wait()
    while time.monotonic() < deadline and any(map(_is_running, workers)):
        time.sleep(.05)
    assert workers and not any(map(_is_running, workers))


def _write_pid(path):
    path.write_text(str(os.getpid()))
    time.sleep(60)


def _is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().split()[2] != 'Z'
    except FileNotFoundError:
        return False


if __name__ == '__main__':
    for _ in run_each(_write_pid, [Path(sys.argv[1]) / str(i) for i in range(2)], 2):
        pass
