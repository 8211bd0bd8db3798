"""The processes of a training whose torchrun is killed."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..paths import TOOLS


def children(pid: int) -> list[int]:
    return list(map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='needs Linux')
def test_workers_that_train_on_keep_the_work_dir(run_tool, tiny_config,
                                                 tmp_path):
    work_dir = tmp_path / 'work'
    length = ['train_cfg.max_epochs=500', 'param_scheduler.end=500',
              'train_cfg.val_interval=500']
    with open(tmp_path / 'log', 'w') as log:
        launcher = subprocess.Popen(
            [sys.executable, '-m', 'torch.distributed.run', '--standalone',
             '--nproc-per-node=2', TOOLS / 'train.py', tiny_config, '--launcher',
             'pytorch', '--work-dir', work_dir, '--cfg-options', *length],
            stdout=log, stderr=log)
    workers = []
    try:
        end = time.monotonic() + 120
        while not (work_dir / 'epoch_1.pth').is_file():
            assert launcher.poll() is None and time.monotonic() < end, (
                tmp_path / 'log').read_text()[-1500:]
            time.sleep(.1)
        workers = children(launcher.pid)
        assert len(workers) == 2
        launcher.kill()
        launcher.wait()
        said = run_tool('train.py', tiny_config, '--work-dir', work_dir, '--resume')
        assert said.startswith('error: ') and 'another training writes there' in said
        assert any(f'process {pid} on' in said for pid in workers), said
    finally:
        launcher.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    time.sleep(.5)  # Until the system has taken its lock away.
    said = run_tool('train.py', tiny_config, '--work-dir', work_dir, '--resume')
    assert 'another schedule' in said  # It is read, and of another length.
