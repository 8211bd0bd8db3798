"""Pipelines that their model completes."""
import copy

import pytest
from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner

from mmaction_centerclip.engine import RetrievalRunner
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError

from ..paths import CONFIGS

FOLDER = CONFIGS / 'retrieval' / 'clip4clip'
BASE = FOLDER / ('clip4clip_vit-base-p32-res224-clip-pre_'
                 '2xb64-u12-5e_msrvtt-9k-rgb.py')
LOADERS = 'train_dataloader', 'val_dataloader', 'test_dataloader'


def steps_of(cfg, kind):
    return [dict(step) for loader in LOADERS
            for step in cfg[loader].dataset.pipeline if step.type == kind]


@pytest.mark.parametrize('arch, tag', [
    ('PE-Core-B-16', 'meta'), ('ViT-L-14', 'laion2b_s32b_b82k'),
    ('ViT-H-14-CLIPA-336', 'datacomp1b')])
def test_one_line_chooses_a_model(arch, tag):
    cfg = Config.fromfile(BASE)
    cfg.merge_from_dict({'model.arch': arch, 'model.pretrained': tag})
    prepare_config(cfg)
    assert steps_of(cfg, 'OpenCLIPResize') == 3 * [
        dict(type='OpenCLIPResize', model=arch, pretrained=tag)]
    assert steps_of(cfg, 'OpenCLIPTokenize') == 3 * [
        dict(type='OpenCLIPTokenize', model=arch, context_length=32)]
    again = copy.deepcopy(cfg)
    prepare_config(again)
    assert again.pretty_text == cfg.pretty_text


def test_what_a_config_says_is_left_alone():
    cfg = Config.fromfile(BASE)
    cfg.val_dataloader.collate_fn = dict(type='pseudo_collate')
    resize, text = cfg.test_dataloader.dataset.pipeline[3:5]
    resize.model = 'ViT-B-16'
    text.update(model='ViT-B-16', context_length=20)
    prepare_config(cfg)
    assert resize == dict(type='OpenCLIPResize', model='ViT-B-16')
    assert text.context_length == 20 and text.model == 'ViT-B-16'
    assert cfg.val_dataloader.collate_fn == dict(type='pseudo_collate')
    assert cfg.train_dataloader.collate_fn == dict(type='stack_in_worker')


def test_the_text_towers_own_arch_and_wrapped_data_count():
    cfg = Config.fromfile(BASE)
    cfg.model.text_backbone = dict(type='CLIPTextTower', arch='ViT-B-16')
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    prepare_config(cfg)
    pipeline = cfg.train_dataloader.dataset.dataset.pipeline
    assert pipeline[3].model == 'ViT-B-32-quickgelu'
    assert pipeline[4] == dict(
        type='OpenCLIPTokenize', model='ViT-B-16', context_length=32)


def test_other_configs_stay_as_they_are():
    for cfg in (Config(), Config(dict(
            model=dict(type='Recognizer3D'), test_dataloader=dict(dataset=dict(
                pipeline=[dict(type='OpenCLIPResize')]))))):
        before = copy.deepcopy(cfg)
        prepare_config(cfg)
        assert cfg.to_dict() == before.to_dict()


def test_the_runner_of_the_configs_completes_them(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path)
    for loader in LOADERS:
        for step in cfg[loader].dataset.pipeline:
            step.pop('context_length', None)
    runner = RUNNERS.build(cfg)  # as the zoo's tools do
    assert type(runner) is RetrievalRunner and isinstance(runner, Runner)
    assert [(step['model'], step['context_length'])
            for step in steps_of(runner.cfg, 'OpenCLIPTokenize')] == 3 * [
                (cfg.model.arch, 16)]
    cfg.model.text_backbone.arch = dict(cfg.model.arch, text_cfg=dict(
        cfg.model.arch.text_cfg, vocab_size=50000))
    with pytest.raises(InputError, match='train_dataloader: the captions are token'):
        RUNNERS.build(cfg)


def test_a_frame_cache_gets_the_resizing_behind_it():
    cfg = Config.fromfile(BASE)
    train, test = (cfg[f'{name}_dataloader'].dataset.pipeline
                   for name in ('train', 'test'))
    train[0].cache = 'frames.db'
    test[0].cache = dict(path='frames.db', codec='raw')
    prepare_config(cfg)
    resize = dict(type='OpenCLIPResize', model='ViT-B-32-quickgelu',
                  pretrained='openai')
    assert train[0].cache == dict(path='frames.db', resize=resize)
    assert test[0].cache == dict(path='frames.db', codec='raw', resize=resize)
    again = copy.deepcopy(cfg)
    prepare_config(again)
    assert again.pretty_text == cfg.pretty_text
    assert 'cache' not in cfg.val_dataloader.dataset.pipeline[0]


@pytest.mark.parametrize('step, is_taken', [
    (dict(type='Resize', scale=(-1, 256)), True),
    (dict(type='Resize', scale=.5), False),
    (dict(type='Resize', scale=(-1, 256), lazy=True), False),
    (dict(type='RandomResizedCrop'), False), (None, False)])
def test_a_cache_keeps_whole_frames_of_other_pipelines(step, is_taken):
    pipeline = [dict(type='VideoInit', cache='frames.db'), dict(type='VideoDecode')]
    cfg = Config(dict(val_dataloader=dict(dataset=dict(
        pipeline=pipeline + [step] * bool(step)))))
    prepare_config(cfg)
    assert cfg.val_dataloader.dataset.pipeline[0].cache == (
        dict(path='frames.db', resize=step) if is_taken else dict(path='frames.db'))
