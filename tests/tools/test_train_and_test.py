"""The tools on real videos, as a user runs them."""
import copy
import re
import shutil
import time

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader
from open_clip.model import CLIP

from ..reference.work_dirs import evaluations_of


def weights(work_dir, epoch=2):
    path = work_dir / f'epoch_{epoch}.pth'
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')['state_dict']


def losses(printed):
    return [float(x) for x in re.findall(r' loss: (\S+)', printed)]


def test_a_short_training_and_its_test(run_tool, tiny_config, tmp_path):
    printed = run_tool(
        'train.py', tiny_config, '--work-dir', tmp_path, '--seed', 3, '--cfg-options',
        'train_cfg.max_epochs=1', 'train_cfg.val_interval=1').splitlines()
    first = next(i for i, line in enumerate(printed) if 'Epoch(train)' in line)
    assert first < 60
    log, = tmp_path.glob('*/*.log')
    assert f'the hooks are in {log}' in '\n'.join(printed[:first])
    assert all(x in log.read_text() for x in ('before_train_epoch', 'optim_wrapper'))
    told = '\n'.join(printed[:first])
    assert 'Trains on train.json: 24 videos, 24 samples; pairs' in told
    assert '4 pairs a step (4 in each of 1 processes), in float32, by seed 3' in told
    expected, = evaluations_of(tmp_path)
    config, = tmp_path.glob('*.py')
    assert Config.fromfile(config).randomness.seed == 3
    run_tool('test.py', tiny_config, tmp_path / 'epoch_1.pth', '--work-dir',
             tmp_path / 'test')
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


def test_training_evaluates(trained):
    _, printed = trained
    assert len(losses(printed)) == 12
    values = dict(re.findall(r'retrieval/(\S+): (\S+)', printed))
    for direction in ('t2v', 'v2t'):
        for name in ('R1', 'R5', 'R10', 'MdR', 'MnR'):
            assert float(values[f'{direction}/{name}']) >= 0
    assert 'captions, 9 videos' in printed


def spoil(shapes, folder):
    shutil.copytree(shapes, folder)
    (folder / 'videos/train0000.mp4').write_text('not a video')
    (folder / 'videos/train0001.mp4').write_bytes(b'')
    (folder / 'videos/train0002.mp4').unlink()
    broken = folder / 'videos/train0003.mp4'
    broken.write_bytes(broken.read_bytes()[:2000])
    return folder


@pytest.mark.slow
def test_training_survives_bad_videos_and_says_which(run_tool, shapes, tiny_config,
                                                     tmp_path):
    folder = spoil(shapes, tmp_path / 'data')
    printed = run_tool(
        'train.py', tiny_config, '--work-dir', tmp_path, '--no-validate',
        '--cfg-options', 'train_cfg.max_epochs=1',
        f'train_dataloader.dataset.data_root={folder}')
    assert 'Epoch 1: skipped 4 unreadable videos' in printed
    for name in range(4):
        assert f'train000{name}.mp4: ' in printed


@pytest.mark.slow
def test_evaluation_stops_at_a_bad_video_unless_allowed(
        run_tool, tiny_checkpoint, shapes, tiny_config, tmp_path):
    folder = tmp_path / 'data'
    shutil.copytree(shapes, folder)
    (folder / 'videos/test0004.mp4').write_text('not a video')
    args = ('test.py', tiny_config, tiny_checkpoint, '--work-dir', tmp_path,
            '--cfg-options', f'test_dataloader.dataset.data_root={folder}')
    said = run_tool(*args)
    assert re.match(r'error: .*test0004.mp4: cannot be decoded', said)
    assert '\n' not in said
    printed = run_tool(*args, 'test_evaluator.allow_missing=True')
    assert 'retrieval/coverage: 88.8889' in printed and 'test0004.mp4' in printed


@pytest.mark.slow
@pytest.mark.parametrize('options, message', [
    (['model.arch._delete_=True', 'model.arch.embed_dim=4'], 'arch lacks'),
    (['model.arch=RN50'], 'RN50.*ResNet'),
    (['model.arch.embed_dim=0'], 'arch: embed_dim must be a positive integer, got 0'),
    (['model.data_preprocessor=None'], 'model.data_preprocessor must be .* got None'),
    (['model.head.loss.type=CrossEntropyLoss'],
     "loss: 'CrossEntropyLoss' is none of similarities: .*forward"),
    (['work_dir=3'], '.*work_dir must be a text or None, got 3'),
    (['model.backbone.necks.0.before_block=9'], 'before_block .* got 9'),
    (['model.backbone.necks.0.num_segments=3'], '3 segments for 8 frames'),
    (['model.backbone.necks.0.num_centers=99'], 'num_centers=99'),
    (['train_dataloader.dataset.ann_file=no.json'], 'not found: .*no.json'),
])
def test_bad_configs_end_with_one_line(run_tool, tiny_config, tmp_path, options,
                                       message):
    said = run_tool('train.py', tiny_config, '--work-dir', tmp_path, '--cfg-options',
                    *options)
    assert re.match(f'error: .*{message}', said)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
@pytest.mark.parametrize('options, message', [
    (['--amp'], '--amp needs a GPU'),
    (['--resume', 'no.pth'], 'no such file: no.pth'),
])
def test_bad_options_end_with_one_line(run_tool, tiny_config, tmp_path, options,
                                       message):
    said = run_tool('train.py', tiny_config, '--work-dir', tmp_path, *options)
    assert re.match(f'error: {message}', said)


def test_a_checkpoint_with_foreign_globals_is_refused(run_tool, tiny_config, tmp_path):
    path = tmp_path / 'foreign.pth'
    torch.save(dict(state_dict={}, meta=time.strptime('2020', '%Y')), path)
    said = run_tool('test.py', tiny_config, path, '--work-dir', tmp_path)
    assert re.match(r'error: .*refused.*time\.struct_time', said)


@pytest.mark.parametrize('content', [b'text', None], ids=['text', 'cut'])
def test_a_damaged_checkpoint_is_named(run_tool, tiny_config, tmp_path, content):
    path = tmp_path / 'damaged.pth'
    torch.save(dict(state_dict=dict(weight=torch.randn(1000))), path)
    path.write_bytes(content or path.read_bytes()[:-1000])
    said = run_tool('test.py', tiny_config, path)
    assert re.match(r'error: .*damaged.pth cannot be read as a file of .*: \S', said)


@pytest.mark.slow
def test_training_on_nothing_readable_ends_with_one_line(
        run_tool, shapes, tiny_config, tmp_path):
    folder = tmp_path / 'data'
    shutil.copytree(shapes, folder)
    for path in (folder / 'videos').glob('train*'):
        path.write_text('not a video')
    said = run_tool('train.py', tiny_config, '--work-dir', tmp_path, '--cfg-options',
                    f'train_dataloader.dataset.data_root={folder}')
    assert re.match(r'error: .*21 videos in turn cannot be read', said)
    assert '\n' not in said


def test_a_missing_config_or_checkpoint_is_named(run_tool, tiny_config, tmp_path):
    said = run_tool('train.py', 'no.py', '--work-dir', tmp_path)
    assert said.startswith('error: config file not found: no.py')
    said = run_tool('test.py', tiny_config, 'no.pth')
    assert said == 'error: no such file: no.pth'
