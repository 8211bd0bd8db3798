"""Many items in processes, of which some fail or die."""
import os
import signal
import time

import pytest

from mmaction_centerclip.utils.parallel import ProcessDied, run_each

from ..processes import start


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
    parent = start(_write_pids, tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.glob('*'))) < 2:
        time.sleep(.05)
    workers = {int(path.read_text() or 0) for path in tmp_path.glob('*')}
    os.kill(parent.pid, signal.SIGKILL)
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


def _write_pids(folder):
    list(run_each(_write_pid, [folder / str(i) for i in range(2)], 2))
