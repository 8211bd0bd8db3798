"""Backbones that are asked for by another library's name, and those refused."""
import runpy
import sys

import pytest
import timm
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.model import BaseModule

from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TimmVisionTower, VideoMAETower, check_host

from .test_hosts import NECK

TINY = dict(embed_dim=32, depth=3, num_heads=2, img_size=32)


def test_timms_model_is_the_stock_model_with_its_weights(imgs, tmp_path):
    stock = timm.create_model('vit_tiny_patch16_224', num_classes=0, **TINY).eval()
    path = tmp_path / 'weights.pth'
    torch.save(stock.state_dict(), path)
    tower = TimmVisionTower(model_name='timm.vit_tiny_patch16_224',
                            checkpoint_path=str(path), necks=[], **TINY).eval()
    assert list(tower.state_dict()) == list(stock.state_dict())
    assert tower.num_classes == 0 and tower.embed_dims == 32
    holder = BaseModule()
    holder.backbone = tower
    holder.init_weights()  # MMEngine's, which a runner calls: it draws nothing anew.
    with torch.no_grad():
        expected = stock(imgs.flatten(0, 1))
        assert torch.equal(tower(imgs)[0].flatten(0, 1), expected)
        tower = TimmVisionTower([NECK], model_name='vit_tiny_patch16_224', **TINY)
        assert tower(imgs)[0].shape == (3, 2, 32)


@pytest.mark.parametrize('name, message', [
    ('swin_tiny_patch4_window7_224', 'SwinTransformer, not .*windows'),
    ('convnext_atto', 'ConvNeXt, not .*convolutions'),
    ('eva02_tiny_patch14_224', 'Eva, not .*rotary'),
    ('mvitv2_tiny', 'MultiScaleVit, not .*pools'),
    ('mobilevit_xxs', 'not its VisionTransformer'),
    ('deit_tiny_distilled_patch16_224', 'docs/extending.md has a host'),
    ('no_such_model', "a model of timm's, .* got 'no_such_model'"), (3, 'got 3')])
def test_other_models_of_timm_are_refused(name, message):
    with pytest.raises(InputError, match=message), torch.device('meta'):
        TimmVisionTower(model_name=name)


@pytest.mark.parametrize('name, message', [
    ('SwinTransformer3D', ': it attends in windows'),
    ('MViT', ': it pools'),
    ('UniFormer', ': it has convolutions between its blocks'),
    ('ResNet3dSlowFast', ': it is made of convolutions'),
    ('NoSuchBackbone', ': no host is known'),
    ('VisionTransformer', "write type='VideoMAETower'"),
    ('TimeSformer', "write type='TimeSformerTower'"),
    ('UniFormerV2', "write type='UniFormerV2Tower'"),
    ('mmpretrain.VisionTransformer', "write type='MMPretrainVisionTower'"),
    ('timm.vit_base_patch16_224', "model_name='vit_base_patch16_224'")])
def test_backbones_that_are_no_hosts_are_refused(name, message):
    with pytest.raises(InputError, match=f'{name} takes no necks.*{message}'):
        check_host(dict(type=name, necks=[NECK]))
    check_host(dict(type=name))  # Without necks it is as good as any.


def test_hosts_pass():
    for kind in ('CLIPVisionTower', 'TimeSformerTower', VideoMAETower):
        check_host(dict(type=kind, necks=[NECK]))


@pytest.mark.parametrize('options, message', [
    (dict(out_type='raw'), 'out_type must be one of'),
    (dict(out_indices=[0, 1]), 'out_indices must be the last')])
def test_mmpretrains_frames_have_one_feature(options, message):
    pytest.importorskip('mmpretrain')
    arch = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
    with pytest.raises(InputError, match=message):
        MODELS.build(dict(type='MMPretrainVisionTower', arch=arch, img_size=32,
                          patch_size=16, **options))


@pytest.mark.filterwarnings('ignore:.*found in sys.modules')
def test_mmpretrain_is_optional(monkeypatch):
    name = 'MMPretrainVisionTower'
    monkeypatch.setitem(sys.modules, 'mmpretrain.models.backbones', None)
    monkeypatch.delitem(MODELS.module_dict, name)
    module = runpy.run_module('mmaction_centerclip.models.backbones.mmpretrain_vision')
    with pytest.raises(InputError, match=f'{name} needs the package mmpretrain'):
        module[name]()


@pytest.mark.parametrize('name, options, reason', [
    ('SwinTransformer3D', dict(arch='tiny'), 'attends in windows'),
    ('MViT', dict(arch='tiny'), 'pools the grid'),
    ('TimeSformer', dict(num_frames=8, img_size=32, patch_size=16),
     "write type='TimeSformerTower'")])
def test_a_recogniser_with_such_a_backbone_ends_with_one_line(name, options, reason):
    """The tools print it, where the zoo's class knows no option ``necks``."""
    backbone = dict(type=name, necks=[NECK], **options)
    with pytest.raises(InputError, match=f'^backbone: {name} takes no.*{reason}'):
        prepare_config(Config(dict(model=dict(type='Recognizer3D', backbone=backbone))))
