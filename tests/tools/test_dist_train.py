"""One launch by torchrun: what two processes train, and what they hold."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ..paths import TOOLS
from ..processes import free_port
from .test_train_and_test import losses, weights


def children(pid: int) -> list[int]:
    return list(map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='needs Linux')
def test_two_processes_train_as_one_and_keep_the_work_dir(
        run_tool, trained, tiny_config, tmp_path):
    """They train on where the launcher is killed, and no other training begins."""
    work_dir, log = tmp_path / 'work', tmp_path / 'log'
    with log.open('w') as file:
        # Of its first two epochs, the schedule is that of the short training.
        script = subprocess.Popen(
            ['bash', TOOLS / 'dist_train.sh', tiny_config, '2', '--work-dir', work_dir,
             '--cfg-options', 'train_dataloader.batch_size=2',
             'train_cfg.max_epochs=500'], stdout=file, stderr=file,
            env=dict(os.environ, PORT=str(free_port()), OMP_NUM_THREADS='1', PATH=(
                f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}')))
    processes = []
    try:
        end = time.monotonic() + 180
        while not (work_dir / 'epoch_3.pth').is_file():
            assert script.poll() is None and time.monotonic() < end, (
                log.read_text()[-1500:])
            time.sleep(.1)
        launcher, = children(script.pid)
        workers = children(launcher)
        processes = [launcher, *workers]
        assert len(workers) == 2
        os.kill(launcher, signal.SIGKILL)
        script.wait()
        said = run_tool('train.py', tiny_config, '--work-dir', work_dir, '--resume')
        assert said.startswith('error: ') and 'another training writes there' in said
        assert any(f'process {pid} on' in said for pid in workers), said
    finally:
        script.kill()
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    printed = log.read_text()
    assert losses(printed)[0] == losses(trained[1])[0]
    assert re.search('captions, 9 videos', printed)
    got, expected = weights(work_dir), weights(trained[0])
    for name in expected:
        torch.testing.assert_close(
            got[name], expected[name], rtol=1e-2, atol=1e-3)
    time.sleep(.5)  # Until the system has taken its lock away.
    said = run_tool('train.py', tiny_config, '--work-dir', work_dir, '--resume')
    assert said.startswith('error: ') and 'another training' not in said, said
