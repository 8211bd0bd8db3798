"""Trainings that are killed, and resumed to the same weights."""
import subprocess
import sys
from textwrap import dedent

import pytest
import torch
from mmengine.config import Config

from ..paths import ROOT, TOOLS

PROGRAM = '''
    """Fork trainings from a process that has imported everything, and kill them."""
    import os, random, runpy, signal, sys, time
    import torch
    import mmaction_centerclip, mmaction.models, mmaction.datasets
    from mmengine.fileio import LocalBackend
    tool, config, work_dir, moments, writing = sys.argv[1:6]

    def train(before=lambda: None):
        pid = os.fork()
        if not pid:
            flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
            os.dup2(os.open(f'{work_dir}.log', flags), 1)
            os.dup2(1, 2)
            before()
            sys.argv = ['train.py', config, '--work-dir', work_dir, '--resume']
            try:
                runpy.run_path(tool, run_name='__main__')
            except BaseException as error:
                print('ended by', error, flush=True)
                os._exit(1)
            os._exit(0)
        return pid

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def die_with_half_a_file():
        def put(self, obj, path):
            with open(path, 'wb') as file:
                file.write(obj[:len(obj) // 2])
                file.flush()
            die()
        LocalBackend.put = lambda self, obj, path: put(
            self, obj, f'{os.path.dirname(path)}/.epoch_1.pth.1f2e3d4c.partial')

    def die_before_renaming(number):
        def prepare():
            original, left = os.replace, [number]
            def replace(source, target):
                left[0] -= 1
                die() if left[0] < 0 else original(source, target)
            os.replace = replace
        return prepare

    draw, killed = random.Random(3), 0
    while killed < int(moments):
        pid = train()
        time.sleep(draw.uniform(0.05, 1.2))
        if os.waitpid(pid, os.WNOHANG)[0]:
            break  # It came to its end.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        killed += 1
    deaths = [die_with_half_a_file] + [die_before_renaming(n) for n in range(5)]
    for death in deaths[:int(writing)]:
        pid = train(death)
        status = os.waitpid(pid, 0)[1]
        killed += os.WIFSIGNALED(status)
    _, status = os.waitpid(train(), 0)
    print('killed', killed, 'status', status)
'''


@pytest.fixture(scope='module')
def config(tiny_config, tmp_path_factory):
    """A training of many short epochs, so that kills meet every phase."""
    cfg = Config.fromfile(tiny_config)
    cfg.train_cfg.update(max_epochs=30, val_interval=10)
    cfg.param_scheduler.end = 30
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    cfg.train_dataloader.batch_size = 12
    path = tmp_path_factory.mktemp('kills') / 'config.py'
    cfg.dump(path)
    return path


def last_weights(work_dir):
    return torch.load(work_dir / 'epoch_30.pth', weights_only=False)['state_dict']


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_weights(config, tmp_path):
    result = subprocess.run(
        [sys.executable, TOOLS / 'train.py', config, '--work-dir', tmp_path / 'whole'],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-1500:]
    expected = last_weights(tmp_path / 'whole')
    for name, moments, writing in (('moments', 20, 0), ('writing', 0, 6)):
        work_dir = tmp_path / name
        result = subprocess.run(
            [sys.executable, '-c', dedent(PROGRAM), TOOLS / 'train.py', config,
             work_dir, str(moments), str(writing)],
            capture_output=True, text=True, cwd=ROOT)
        log = (tmp_path / f'{name}.log').read_text()[-1500:]
        assert result.returncode == 0, result.stderr[-1500:]
        assert result.stdout.split()[-1] == '0', log
        # A fast machine may end before the last of the random moments.
        assert int(result.stdout.split()[1]) >= moments // 2 + writing, result.stdout
        got = last_weights(work_dir)
        assert all(torch.equal(got[key], expected[key]) for key in expected)
        # None is lost or half, and those that a kill left are deleted.
        assert {'epoch_29.pth', 'epoch_30.pth'} == {
            p.name for p in work_dir.glob('*.pth')}
        assert not list(work_dir.glob('*.partial'))
