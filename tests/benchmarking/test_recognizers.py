import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.benchmarking import benchmark_backbones, build_backbones
from mmaction_centerclip.errors import InputError

from ..paths import CONFIGS

CONFIG = CONFIGS / ('recognition/videomae/vit-tiny-p16-res64-b2-2-16_8x1x1_1xb72-20e_'
                    'shapes-color-rgb.py')


@pytest.fixture
def cfg():
    return Config.fromfile(CONFIG)


def test_the_same_weights_with_and_without_necks_and_the_zoos(cfg):
    models = build_backbones(cfg)
    assert type(models['stock']).__name__ == 'VisionTransformer'
    assert len(models['clustered'].necks) == 1 and not models['unclustered'].necks
    states = [model.state_dict() for model in models.values()]
    for key, value in states[2].items():
        assert torch.equal(states[0][key], value) and torch.equal(states[1][key], value)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        row = benchmark_backbones(models, torch.randn(2, 3, 8, 64, 64), repeats=1)
        with torch.no_grad():
            models['stock'].fc_norm.bias += 1
        with pytest.raises(InputError, match='another output than the stock'):
            benchmark_backbones(models, torch.randn(2, 3, 8, 64, 64))
        torch.set_num_threads(2)
        with pytest.raises(InputError, match='on one thread only, got 2'):
            benchmark_backbones(models, torch.randn(2, 3, 8, 64, 64))
    finally:
        torch.set_num_threads(threads)
    assert row['mac_ratio'] < 1 and row['unclustered/gmacs'] == row['stock/gmacs']
    assert row['time_ratio'] == pytest.approx(
        row['clustered/ms'] / row['unclustered/ms'])
    assert row['host_ratio'] == pytest.approx(row['unclustered/ms'] / row['stock/ms'])


def test_other_backbones_are_refused(cfg):
    for backbone in (dict(type='ResNet', depth=18), dict(type='VideoTowerBackbone'),
                     dict(cfg.model.backbone, necks=[])):
        cfg.model.backbone = backbone
        with pytest.raises(InputError, match='must be a video tower with necks'):
            build_backbones(cfg)
