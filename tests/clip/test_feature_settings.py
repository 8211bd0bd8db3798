"""Settings that no weight tells travel with a checkpoint, and are compared."""
import copy

import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.clip.feature_settings import (
    SETTINGS,
    check_settings,
    describe_settings,
)
from mmaction_centerclip.errors import InputError

from ..conftest import NECK


def settings_with(cfg, change, *necks):
    cfg = copy.deepcopy(cfg)
    change(cfg)
    cfg['backbone'].setdefault('necks', []).extend(necks)
    return describe_settings(MODELS.build(cfg))


CHANGES = {
    'activation': lambda cfg: cfg['arch'].update(quick_gelu=True),
    'backbone.num_heads': lambda cfg: cfg['arch']['vision_cfg'].update(head_width=8),
    'text_backbone.num_heads': lambda cfg: cfg['arch']['text_cfg'].update(heads=4),
    'backbone.eps': lambda cfg: cfg['arch']['vision_cfg'].update(
        norm_kwargs=dict(eps=1e-3)),
    'backbone.pool_type': lambda cfg: cfg['arch']['vision_cfg'].update(pool_type='avg'),
    'mean': lambda cfg: cfg['data_preprocessor'].update(mean=[1.0, 2.0, 3.0]),
    'std': lambda cfg: cfg['data_preprocessor'].update(std=[1.0, 2.0, 3.0]),
    'to_rgb': lambda cfg: cfg['data_preprocessor'].update(to_rgb=True)}


@pytest.mark.parametrize('name', CHANGES)
def test_a_difference_is_refused_with_both_values(name, retriever_cfg):
    own = settings_with(retriever_cfg(), lambda cfg: None, NECK)
    other = settings_with(retriever_cfg(), CHANGES[name])
    found = [key for key in own if own[key] != other[key]]
    assert found and {name} <= set(found) | {key.split('.')[-1] for key in found}
    file = dict(meta={SETTINGS: other})
    with pytest.raises(InputError) as error:
        check_settings(file, own, 'a.pth', allow_other=['nothing'])
    for key in found:
        assert f'{other[key]!r}, here {own[key]!r}' in str(error.value)
    check_settings(file, own, 'a.pth', allow_other=[name])
    check_settings(file, own, 'a.pth', allow_other=name)
    check_settings(dict(meta={SETTINGS: own}), own, 'a.pth')


def test_hosts_of_any_library_are_described():
    def tower(**options):
        return describe_settings(torch.nn.ModuleDict(dict(backbone=MODELS.build(dict(
            dict(type='TimmVisionTower', img_size=32, embed_dim=64, depth=3,
                 num_heads=2, num_classes=0), **options)))))

    assert tower() != tower(num_heads=4) and tower() == tower(drop_path_rate=0.1)


@pytest.mark.parametrize('recorded', [
    3, [], dict(mean=[[1]]), dict(mean=torch.ones(3)), dict(mean=10**400),
    dict(mean=None)])
def test_a_damaged_record_is_one_line(recorded, retriever_cfg):
    own = settings_with(retriever_cfg(), lambda cfg: None)
    with pytest.raises(InputError, match='a.pth is damaged'):
        check_settings(dict(meta={SETTINGS: recorded}), own, 'a.pth')


@pytest.mark.parametrize('file', [{}, dict(meta=3), dict(meta={})])
def test_what_is_not_recorded_is_said(file, monkeypatch):
    lines = []
    monkeypatch.setattr('mmaction_centerclip.clip.feature_settings.print_log',
                        lambda text, *_: lines.append(text))
    check_settings(file, dict(mean=[1.0]), 'a.pth')
    line, = lines
    assert line.startswith('a.pth does not record') and 'not checked' in line


def test_a_start_is_from_any_head_but_the_same_towers(retriever_cfg, build_retriever,
                                                      tmp_path):
    model = build_retriever()
    other = describe_settings(model) | {'head.num_heads': 3, 'num_frames': 99}
    own = describe_settings(model) | {'head.num_heads': 4, 'num_frames': 12}
    check_settings(dict(meta={SETTINGS: other}), own, 'a.pth', starts=True)
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=model.state_dict(), meta={SETTINGS: other}), path)
    build_retriever(pretrained=path).init_weights()
    cfg = retriever_cfg(pretrained=path)
    cfg['arch']['quick_gelu'] = True
    with pytest.raises(InputError, match=r'pretrained=.*GELU.*, here .QuickGELU'):
        MODELS.build(cfg).init_weights()
