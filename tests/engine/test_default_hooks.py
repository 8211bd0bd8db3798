"""The hooks that every config brings, beside those of a user."""
import math
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from mmaction_centerclip.engine import ScoringHeadHook
from mmaction_centerclip.evaluation import load_features

OURS = ['SampleSeedHook', 'DataReportHook', 'ClampLogitScaleHook',
        'ScoringHeadHook']
EMA = dict(type='EMAHook', momentum=.5)

pytestmark = pytest.mark.slow


def config_with(tiny_config, tmp_path, custom_hooks):
    """A user's config on top of the project's."""
    path = tmp_path / 'user.py'
    path.write_text(f'_base_ = {str(tiny_config)!r}\n'
                    f'custom_hooks = {custom_hooks!r}\n')
    cfg = Config.fromfile(path)
    cfg.update(work_dir=str(tmp_path / 'work'), launcher='none',
               experiment_name=tmp_path.name)
    return cfg


def names(runner):
    return [type(hook).__name__ for hook in runner.hooks]


def test_custom_hooks_erase_none(tiny_config, tmp_path):
    runner = Runner.from_cfg(config_with(tiny_config, tmp_path, [EMA]))
    assert {*OURS, 'EMAHook'} <= set(names(runner))
    # Averages are of clamped scales, and the head is lent with averages.
    assert names(runner).index('ClampLogitScaleHook') < names(runner).index(
        'EMAHook') < names(runner).index('ScoringHeadHook')
    cfg = config_with(tiny_config, tmp_path, [])
    cfg.default_hooks.data_report.max_files = 3
    report, = [hook for hook in Runner.from_cfg(cfg).hooks
               if type(hook).__name__ == 'DataReportHook']
    assert report.max_files == 3


def test_an_old_list_of_custom_hooks_trains_and_averages_score(
        tiny_config, shapes, tmp_path, monkeypatch):
    """All four stand twice, two of them with options, which count."""
    shutil.copytree(shapes, tmp_path / 'data')
    for name in ('train0003', 'train0004'):
        (tmp_path / f'data/videos/{name}.mp4').write_text('not a video')
    custom = [dict(type=name) for name in OURS]
    custom[1].update(max_files=1)
    custom[2].update(max=5.)
    cfg = config_with(tiny_config, tmp_path, [EMA, *custom])
    dump = tmp_path / 'features.pth'
    cfg.merge_from_dict({
        'model.head': dict(type='WeightedTokenInteractionHead', embed_dims=16,
                           init_logit_scale=6.5),
        'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1,
        'train_dataloader.dataset.data_root': str(tmp_path / 'data'),
        'val_evaluator.dump': str(dump)})
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    order = []
    for hook in (EMAHook, ScoringHeadHook):
        original = hook.before_val_epoch
        monkeypatch.setattr(
            hook, 'before_val_epoch', lambda self, runner, original=original: (
                order.append(type(self)), original(self, runner))[0])
    runner = Runner.from_cfg(cfg)
    assert all(names(runner).count(name) == 2 for name in OURS)
    runner.train()
    log, = (tmp_path / 'work').glob('*/*.log')
    said = log.read_text()
    assert said.count('Epoch 1: skipped 2 unreadable videos') == 1
    assert '  and 1 more' in said
    assert math.log(100) < runner.model.head.logit_scale.item() <= 5

    # Before the training, and once the averages are in the model.
    twice = [ScoringHeadHook] * 2
    assert order == [*twice, EMAHook, *twice]
    saved = CheckpointLoader.load_checkpoint(
        str(tmp_path / 'work/epoch_1.pth'), 'cpu')
    lent = load_features(str(dump)).head
    assert lent['config'] == dict(
        type='WeightedTokenInteractionHead', embed_dims=16, init_logit_scale=6.5)
    for name, value in lent['state_dict'].items():
        assert torch.equal(value, saved['state_dict'][f'head.{name}']), name
    trained = saved['ema_state_dict']['module.head.word_weight.0.weight']
    assert not torch.equal(lent['state_dict']['word_weight.0.weight'], trained)
