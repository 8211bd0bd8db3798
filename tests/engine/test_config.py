"""A config that its model completes and checks."""
import ast
import copy
import re
import sys

import open_clip
import pytest
from mmengine.config import Config

from mmaction_centerclip.clip.preprocessing import pretrained_preprocessing
from mmaction_centerclip.engine.config import prepare_config, read_config
from mmaction_centerclip.errors import InputError

from ..clip.test_models import built_archs
from ..clip.test_preprocessing import tags_that_differ
from ..conftest import TINY_ARCH
from ..hf_tokenizers import build_arch
from ..paths import CONFIGS

BASE = CONFIGS / ('retrieval/clip4clip/clip4clip_vit-base-p32-res224-clip-pre_'
                  '2xb64-u12-5e_msrvtt-9k-rgb.py')
LOADERS = 'train_dataloader', 'val_dataloader', 'test_dataloader'
DIFFER = tags_that_differ('mean', 'std', 'interpolation', 'resize_mode')


@pytest.fixture
def cfg():
    """A config with a user's own resizing and normalisation, OpenAI's."""
    cfg = Config.fromfile(BASE)
    known = pretrained_preprocessing('ViT-B-32-quickgelu', 'openai')
    cfg.model.data_preprocessor.update(mean=known['mean'], std=known['std'])
    for name in ('train', 'val', 'test'):
        dataset = cfg[f'{name}_dataloader'].dataset
        place = dataset.pipeline.index(step(dataset.pipeline, 'OpenCLIPResize'))
        dataset.pipeline = [
            *dataset.pipeline[:place],
            dict(type='Resize', scale=(-1, 224), interpolation='bicubic'),
            dict(type='CenterCrop', crop_size=224), *dataset.pipeline[place + 1:]]
    return cfg


def pipelines(cfg):
    return [cfg[f'{name}_dataloader'].dataset.pipeline
            for name in ('train', 'val', 'test')]


def without_text(cfg):
    """Captions are refused on their own."""
    for pipeline in pipelines(cfg):
        pipeline.remove(step(pipeline, 'OpenCLIPTokenize'))


def step(pipeline, kind):
    return next(step for step in pipeline if step.type == kind)


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


def test_imports_of_the_command_line_are_made(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_neck.py').write_text('LOADED = True\n')
    read_config(BASE, {'custom_imports.imports': ['own_neck']})
    assert sys.modules.pop('own_neck').LOADED
    with pytest.raises(InputError, match='no_such_neck'):
        read_config(BASE, {'custom_imports.imports': ['no_such_neck']})


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


@pytest.mark.parametrize('arch, tag', DIFFER)
def test_every_tag_of_other_pictures_is_refused_and_accepted(cfg, arch, tag):
    cfg.model.update(arch=arch, pretrained=tag)
    without_text(cfg)
    known = pretrained_preprocessing(arch, tag)
    with pytest.raises(InputError) as error:
        prepare_config(cfg)
    assert f'{tag!r} for arch {arch!r} was trained' in str(error.value)
    # Each refusal says what to write; written, it is one less.
    cfg.model.data_preprocessor.update(mean=known['mean'], std=known['std'])
    refused = []
    while len(refused) < 4:
        try:
            prepare_config(cfg)
            break
        except InputError as error:
            message = str(error)
        refused.append(re.search(r'^(\w+)_dataloader: .* has a Resize', message)[1])
        assert "with {'keep_ratio': True, 'interpolation': 'bicubic'};" in message
        right = ast.literal_eval(re.search(r'write (.*)$', message)[1])
        assert right.pop('scale') == 2 * (known['image_size'], )
        assert right == dict(type='Resize', keep_ratio=False,
                             interpolation=known['interpolation'])
        step(cfg[f'{refused[-1]}_dataloader'].dataset.pipeline,
             'Resize').update(right)
    assert refused == ([] if arch == 'ViT-L-14' else ['train', 'val', 'test'])


def test_most_tags_take_the_configs_pictures(cfg):
    tags = [(arch, tag) for arch in built_archs()
            for tag in open_clip.list_pretrained_tags_by_model(arch)]
    assert len(tags) > 70
    without_text(cfg)
    for arch, tag in tags:
        if (arch, tag) not in DIFFER:
            cfg.model.update(arch=arch, pretrained=tag)
            prepare_config(cfg)


@pytest.mark.parametrize('change, message', [
    (dict(interpolation='bilinear'), "'interpolation': 'bilinear'"),
    (dict(keep_ratio=False), "'keep_ratio': False"),
])
def test_a_resize_unlike_openais_is_refused_in_wrapped_data_too(
        cfg, change, message):
    dataset = cfg.train_dataloader.dataset
    step(dataset.pipeline, 'Resize').update(change)
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=dict(
            type='ConcatDataset', datasets=[dataset]))
    with pytest.raises(InputError, match=f'train_dataloader: .* has .*{message}'):
        prepare_config(cfg)


def test_what_is_resized_after_a_crop_has_no_proportions_to_keep(cfg):
    pipeline = pipelines(cfg)[0]
    place = pipeline.index(step(pipeline, 'CenterCrop'))
    pipeline[place:place + 1] = [
        dict(type='RandomResizedCrop'),
        dict(type='Resize', scale=(224, 224), keep_ratio=False,
             interpolation='bicubic')]
    prepare_config(cfg)
    pipeline[place + 1].pop('interpolation')  # bilinear, the zoo's default
    with pytest.raises(InputError, match="'bilinear'.*write"):
        prepare_config(cfg)


def test_local_files_and_other_models_are_not_checked(cfg, tmp_path):
    for pipeline in pipelines(cfg):
        step(pipeline, 'Resize').interpolation = 'bilinear'
    cfg.model.pretrained = str(tmp_path)
    prepare_config(cfg)
    cfg.model.pretrained = None
    prepare_config(cfg)
    cfg.model = dict(type='Recognizer3D', backbone=dict(type='ResNet3d'))
    prepare_config(cfg)
    prepare_config(Config())


def test_captions_of_another_tokenizer_are_refused(cfg):
    cfg.model.update(arch='ViT-L-14-CLIPA', pretrained=None)
    step(pipelines(cfg)[0], 'OpenCLIPTokenize').model = 'ViT-B-32'
    with pytest.raises(InputError) as error:
        prepare_config(cfg)
    assert str(error.value).startswith('train_dataloader: the captions are token')
    for part in ("open_clip's BPE (49408 tokens)", 'bert-base-uncased',
                 "write dict(type='OpenCLIPTokenize', model='ViT-L-14-CLIPA')"):
        assert part in str(error.value)


def test_the_text_towers_own_arch_counts(cfg, tmp_path):
    arch, _ = build_arch('eos', tmp_path)
    cfg.model.update(arch=copy.deepcopy(TINY_ARCH), pretrained=None)
    prepare_config(cfg)
    cfg.model.text_backbone.update(arch=arch)
    with pytest.raises(InputError, match=f'takes {tmp_path}'):
        prepare_config(cfg)
    for pipeline in pipelines(cfg):
        step(pipeline, 'OpenCLIPTokenize').update(model=copy.deepcopy(arch))
    prepare_config(cfg)


def test_a_recognizers_normalisation_is_that_of_its_towers_tag():
    path, = (CONFIGS / 'recognition' / 'clip').glob('clip_vit-base-p16*.py')
    cfg = Config.fromfile(path)
    prepare_config(cfg)
    cfg.model.data_preprocessor.mean = [123.675, 116.28, 103.53]
    with pytest.raises(InputError, match="'openai' for arch 'ViT-B-16-quickgelu' was"):
        prepare_config(cfg)
    cfg.model.backbone.pretrained = None
    prepare_config(cfg)
