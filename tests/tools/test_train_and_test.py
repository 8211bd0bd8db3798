"""The tools on real videos, as a user runs them."""
import copy
import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time

import mmaction
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader
from open_clip.model import CLIP

from ..paths import TOOLS
from ..reference.work_dirs import evaluations_of

# Workers of this process take seconds to end.
NO_WORKERS = [f'{loader}_dataloader.{option}' for loader in ('train', 'val', 'test')
              for option in ('num_workers=0', 'persistent_workers=False')]


def tool(*args, script='train.py', **kwargs):
    command = [sys.executable, TOOLS / script, *args]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, **kwargs)


@pytest.fixture
def here(monkeypatch, capsys):
    """Run a tool that ends with an error in this process: it is faster."""

    def run(*args, script='train.py'):
        monkeypatch.setattr(sys, 'argv', list(map(str, (script, *args))))
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(str(TOOLS / script), run_name='__main__')
        return str(exit_.value)

    return run


def weights(work_dir, epoch=3):
    path = work_dir / f'epoch_{epoch}.pth'
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')['state_dict']


def losses(result):
    return [float(x) for x in re.findall(r' loss: (\S+)', result.stdout)]


@pytest.fixture(scope='module')
def whole_run(tiny_config, tmp_path_factory):
    """An uninterrupted training of three epochs."""
    work_dir = tmp_path_factory.mktemp('whole')
    result = tool(tiny_config, '--work-dir', work_dir)
    assert result.returncode == 0, result.stderr
    return work_dir, result


def test_a_short_training_and_its_test(run_tool, tiny_config, tmp_path):
    run_tool('train.py', tiny_config, '--work-dir', tmp_path, '--seed', 3,
             '--cfg-options', *NO_WORKERS, 'train_cfg.max_epochs=1',
             'train_cfg.val_interval=1')
    expected, = evaluations_of(tmp_path)
    config, = tmp_path.glob('*.py')
    assert Config.fromfile(config).randomness.seed == 3
    run_tool('test.py', tiny_config, tmp_path / 'epoch_1.pth', '--work-dir',
             tmp_path / 'test', '--cfg-options', *NO_WORKERS)
    tested, = evaluations_of(tmp_path / 'test', 'test')
    assert tested == pytest.approx(expected, abs=1e-3)
    assert {'t2v/R1', 'v2t/MnR'} <= tested.keys()


@pytest.mark.slow
def test_weights_to_start_from_are_tested_without_a_checkpoint(
        run_tool, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    model = CLIP(**copy.deepcopy(dict(cfg.model.arch)))
    torch.save(model.state_dict(), tmp_path / 'clip.pt')
    retriever = MODELS.build(dict(cfg.model, pretrained=str(tmp_path / 'clip.pt')))
    retriever.init_weights()
    torch.save(dict(state_dict=retriever.state_dict()), tmp_path / 'converted.pth')
    options = ('--cfg-options', f'model.pretrained={tmp_path / "clip.pt"}')
    figures = []
    for name, checkpoint in (('zero', []), ('file', [tmp_path / 'converted.pth'])):
        run_tool('test.py', tiny_config, *checkpoint, '--work-dir', tmp_path / name,
                 *options)
        figures += evaluations_of(tmp_path / name, 'test')
    assert figures[0] == figures[1] and 't2v/R1' in figures[0]
    said = run_tool('test.py', tiny_config, '--work-dir', tmp_path / 'head', *options,
                    'model.head.type=SequentialTransformerHead',
                    'model.head.embed_dims=16', 'model.head.num_heads=2')
    assert re.match(r"error: pretrained='.*clip.pt' has no weights for "
                    r"\['head\..* learned in training; give a checkpoint", said)
    said = run_tool('test.py', tiny_config, '--work-dir', tmp_path / 'none')
    assert 'checkpoint is missing, and model.pretrained names no weights' in said


@pytest.mark.slow
def test_training_evaluates(whole_run):
    _, result = whole_run
    assert len(losses(result)) == 18
    values = dict(re.findall(r'retrieval/(\S+): (\S+)', result.stdout))
    for direction in ('t2v', 'v2t'):
        for name in ('R1', 'R5', 'R10', 'MdR', 'MnR'):
            assert float(values[f'{direction}/{name}']) >= 0
    assert 'captions, 9 videos' in result.stdout


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(whole_run, tiny_config,
                                                  tmp_path):
    command = [sys.executable, str(TOOLS / 'train.py'), str(tiny_config),
               '--work-dir', str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    for line in process.stdout:
        if 'Epoch(train) [2][1/6]' in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    assert (tmp_path / 'epoch_1.pth').exists()
    assert not (tmp_path / 'epoch_2.pth').exists()
    resumed = tool(tiny_config, '--work-dir', tmp_path, '--resume')
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r'Resuming from .*epoch_1\.pth', resumed.stdout)
    assert len(losses(resumed)) == 12
    expected, got = weights(whole_run[0]), weights(tmp_path)
    assert expected.keys() == got.keys()
    for name in expected:
        assert torch.equal(expected[name], got[name]), name


@pytest.mark.slow
def test_the_test_tool_reads_the_checkpoint(whole_run, tiny_config, tmp_path):
    work_dir, trained = whole_run
    result = tool(
        tiny_config, work_dir / 'epoch_3.pth', '--work-dir', tmp_path,
        script='test.py')
    assert result.returncode == 0, result.stderr
    saved, = tmp_path.glob('*/[0-9]*.json')
    metrics = json.loads(saved.read_text())
    for name in ('t2v/R1', 'v2t/MnR'):
        expected = re.findall(rf'retrieval/{name}: (\S+)', trained.stdout)[-1]
        assert metrics[f'retrieval/{name}'] == pytest.approx(
            float(expected), abs=1e-3)


@pytest.mark.slow
def test_two_processes_start_with_the_loss_of_one(whole_run, tiny_config,
                                                  tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    result = subprocess.run(
        ['bash', str(TOOLS / 'dist_train.sh'), str(tiny_config), '2',
         '--work-dir', str(tmp_path), '--cfg-options',
         'train_dataloader.batch_size=2'],
        capture_output=True, text=True,
        env=dict(os.environ, PORT=str(port), OMP_NUM_THREADS='1',
                 PATH=f'{os.path.dirname(sys.executable)}:'
                 f'{os.environ["PATH"]}'))
    assert result.returncode == 0, result.stderr
    assert losses(result)[0] == losses(whole_run[1])[0]
    assert 'captions, 9 videos' in result.stdout
    got, expected = weights(tmp_path), weights(whole_run[0])
    for name in expected:
        torch.testing.assert_close(
            got[name], expected[name], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_the_zoos_own_tool_trains_the_config(tiny_config, tmp_path):
    script = os.path.join(
        os.path.dirname(mmaction.__file__), '.mim', 'tools', 'train.py')
    result = subprocess.run(
        [sys.executable, script, str(tiny_config), '--work-dir',
         str(tmp_path), '--cfg-options', 'train_cfg.max_epochs=1'],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'epoch_1.pth').exists()


def spoil(shapes, folder):
    shutil.copytree(shapes, folder)
    (folder / 'videos/train0000.mp4').write_text('not a video')
    (folder / 'videos/train0001.mp4').write_bytes(b'')
    (folder / 'videos/train0002.mp4').unlink()
    broken = folder / 'videos/train0003.mp4'
    broken.write_bytes(broken.read_bytes()[:2000])
    return folder


@pytest.mark.slow
def test_training_survives_bad_videos_and_says_which(shapes, tiny_config,
                                                     tmp_path):
    folder = spoil(shapes, tmp_path / 'data')
    result = tool(
        tiny_config, '--work-dir', tmp_path, '--no-validate',
        '--cfg-options', 'train_cfg.max_epochs=1',
        f'train_dataloader.dataset.data_root={folder}')
    assert result.returncode == 0, result.stderr
    assert 'Epoch 1: skipped 4 unreadable videos' in result.stdout
    for name in range(4):
        assert f'train000{name}.mp4: ' in result.stdout


@pytest.mark.slow
def test_evaluation_stops_at_a_bad_video_unless_allowed(
        whole_run, shapes, tiny_config, tmp_path):
    folder = tmp_path / 'data'
    shutil.copytree(shapes, folder)
    (folder / 'videos/test0004.mp4').write_text('not a video')
    args = (tiny_config, whole_run[0] / 'epoch_3.pth', '--work-dir', tmp_path,
            '--cfg-options', f'test_dataloader.dataset.data_root={folder}')
    result = tool(*args, script='test.py')
    assert result.returncode == 1
    assert re.search(r'^error: .*test0004.mp4: cannot be decoded',
                     result.stderr, re.M)
    assert 'Traceback' not in result.stderr
    result = tool(*args, 'test_evaluator.allow_missing=True', script='test.py')
    assert result.returncode == 0, result.stderr
    assert 'retrieval/coverage: 88.8889' in result.stdout
    assert 'test0004.mp4' in result.stdout


@pytest.mark.parametrize('options, message', [
    (['model.arch._delete_=True', 'model.arch.embed_dim=4'], 'arch lacks'),
    (['model.arch=RN50'], 'RN50.*ResNet'),
    (['model.arch.embed_dim=0'], 'arch: embed_dim must be a positive integer, got 0'),
    (['model.data_preprocessor=None'], 'model.data_preprocessor must be .* got None'),
    (['model.head.loss.type=CrossEntropyLoss'],
     "loss: 'CrossEntropyLoss' is none of similarities: .*forward"),
    (['work_dir=3'], 'work_dir must be a text or None, got 3'),
    (['model.backbone.necks.0.before_block=9'], 'before_block .* got 9'),
    (['model.backbone.necks.0.num_segments=3'], '3 segments for 8 frames'),
    (['model.backbone.necks.0.num_centers=99'], 'num_centers=99'),
    (['train_dataloader.dataset.ann_file=no.json'], 'not found: .*no.json'),
])
def test_bad_configs_end_with_one_line(here, tiny_config, tmp_path, options,
                                       message):
    said = here(tiny_config, '--work-dir', tmp_path, '--cfg-options', *NO_WORKERS,
                *options)
    assert re.match(f'error: .*{message}', said)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
@pytest.mark.parametrize('options, message', [
    (['--amp'], '--amp needs a GPU'),
    (['--resume', 'no.pth'], 'no such file: no.pth'),
])
def test_bad_options_end_with_one_line(here, tiny_config, tmp_path, options,
                                       message):
    said = here(tiny_config, '--work-dir', tmp_path, *options)
    assert re.match(f'error: {message}', said)


def test_a_checkpoint_with_foreign_globals_is_refused(here, tiny_config,
                                                      tmp_path):
    path = tmp_path / 'foreign.pth'
    torch.save(dict(state_dict={}, meta=time.strptime('2020', '%Y')), path)
    said = here(tiny_config, path, '--work-dir', tmp_path, '--cfg-options',
                *NO_WORKERS, script='test.py')
    assert re.match(r'error: .*refused.*time\.struct_time', said)


@pytest.mark.parametrize('content', [b'text', None], ids=['text', 'cut'])
def test_a_damaged_checkpoint_is_named(here, tiny_config, tmp_path, content):
    path = tmp_path / 'damaged.pth'
    torch.save(dict(state_dict=dict(weight=torch.randn(1000))), path)
    path.write_bytes(content or path.read_bytes()[:-1000])
    said = here(tiny_config, path, script='test.py')
    assert re.match(r'error: .*damaged.pth cannot be read as a file of .*: \S', said)


def test_training_on_nothing_readable_ends_with_one_line(
        here, shapes, tiny_config, tmp_path):
    folder = tmp_path / 'data'
    shutil.copytree(shapes, folder)
    for path in (folder / 'videos').glob('train*'):
        path.write_text('not a video')
    said = here(tiny_config, '--work-dir', tmp_path, '--cfg-options',
                f'train_dataloader.dataset.data_root={folder}')
    assert re.match(r'error: .*21 videos in turn cannot be read', said)
    assert '\n' not in said


def test_a_missing_config_or_checkpoint_is_named(here, tiny_config, tmp_path):
    said = here('no.py', '--work-dir', tmp_path)
    assert said.startswith('error: config file not found: no.py')
    said = here(tiny_config, 'no.pth', script='test.py')
    assert said == 'error: no such file: no.pth'
