"""Trainings that are killed, and resumed to the same weights."""
import os
import random
import signal
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend

from .. import processes

EPOCHS = 8


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_half_a_file():
    def put(self, obj, path):
        half = Path(path).with_name('.epoch_1.pth.1f2e3d4c.partial')
        half.write_bytes(obj[:len(obj) // 2])
        die()
    LocalBackend.put = put


def die_before_renaming(number):
    original, left = os.replace, [number]

    def replace(source, target):
        left[0] -= 1
        die() if left[0] < 0 else original(source, target)

    os.replace = replace


def train(config, work_dir, resume='--resume', before=None, *args):
    """Train; in a process of its own, which some function has prepared."""
    if before:
        before(*args)
    words = ['train.py', config, '--work-dir', work_dir, resume]
    said = processes.run_tool(*filter(None, words))
    assert not said.startswith('error'), said


@pytest.fixture(scope='module')
def config(tiny_config, tmp_path_factory):
    """A training of many short epochs, so that kills meet every phase."""
    cfg = Config.fromfile(tiny_config)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=2)
    cfg.param_scheduler.end = EPOCHS
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    cfg.train_dataloader.batch_size = 12
    path = tmp_path_factory.mktemp('kills') / 'config.py'
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def expected(config, tmp_path_factory):
    """The weights of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp('whole')
    train(config, folder, None)
    return last_weights(folder)


def last_weights(work_dir):
    path = work_dir / f'epoch_{EPOCHS}.pth'
    return torch.load(path, weights_only=False)['state_dict']


def killed_at_moments(*args):
    draw = random.Random(3)
    for _ in range(4):
        process = processes.start(train, *args)
        process.join(draw.uniform(.3, 1.))
        processes.kill(process)
        yield process


def killed_while_writing(*args):
    for death in [(die_with_half_a_file, ),
                  *((die_before_renaming, number) for number in range(5))]:
        process = processes.start(train, *args, '--resume', *death)
        process.join()
        yield process


@pytest.mark.slow
@pytest.mark.parametrize('killed, least', [(killed_at_moments, 2),
                                           (killed_while_writing, 6)])
def test_a_killed_training_ends_with_the_same_weights(config, expected, tmp_path,
                                                      killed, least):
    work_dir = tmp_path / 'work'
    codes = [process.exitcode for process in killed(config, work_dir)]
    # A fast machine may end before the last of the random moments.
    assert set(codes) <= {0, -signal.SIGKILL}
    assert codes.count(-signal.SIGKILL) >= least
    train(config, work_dir)
    got = last_weights(work_dir)
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    # None is lost or half, and those that a kill left are deleted.
    assert {f'epoch_{EPOCHS - 1}.pth', f'epoch_{EPOCHS}.pth'} == {
        p.name for p in work_dir.glob('*.pth')}
    assert not list(work_dir.glob('*.partial'))
