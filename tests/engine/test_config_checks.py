"""Pipelines beside the model that they feed."""
import ast
import copy
import re

import open_clip
import pytest
from mmengine.config import Config

from mmaction_centerclip.clip.preprocessing import pictures_of
from mmaction_centerclip.engine.config_checks import check_pipelines
from mmaction_centerclip.errors import InputError

from ..clip.test_models import built_archs
from ..clip.test_preprocessing import tags_that_differ
from ..conftest import TINY_ARCH
from ..hf_tokenizers import build_arch
from ..paths import CONFIGS

BASE = CONFIGS / ('retrieval/clip4clip/clip4clip_vit-base-p32-res224-clip-pre_'
                  '2xb64-u12-5e_msrvtt-9k-rgb.py')
DIFFER = tags_that_differ('mean', 'std', 'interpolation', 'resize_mode')


@pytest.fixture
def cfg():
    """A config with a user's own resizing and normalisation, OpenAI's."""
    cfg = Config.fromfile(BASE)
    known = pictures_of('ViT-B-32-quickgelu', 'openai')
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


@pytest.mark.parametrize('arch, tag', DIFFER)
def test_every_tag_of_other_pictures_is_refused_and_accepted(cfg, arch, tag):
    cfg.model.update(arch=arch, pretrained=tag)
    without_text(cfg)
    known = pictures_of(arch, tag)
    with pytest.raises(InputError) as error:
        check_pipelines(cfg)
    assert f'{tag!r} for arch {arch!r} was trained' in str(error.value)
    # Each refusal says what to write; written, it is one less.
    cfg.model.data_preprocessor.update(mean=known['mean'], std=known['std'])
    refused = []
    while len(refused) < 4:
        try:
            check_pipelines(cfg)
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
            check_pipelines(cfg)


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
        check_pipelines(cfg)


def test_what_is_resized_after_a_crop_has_no_proportions_to_keep(cfg):
    pipeline = pipelines(cfg)[0]
    place = pipeline.index(step(pipeline, 'CenterCrop'))
    pipeline[place:place + 1] = [
        dict(type='RandomResizedCrop'),
        dict(type='Resize', scale=(224, 224), keep_ratio=False,
             interpolation='bicubic')]
    check_pipelines(cfg)
    pipeline[place + 1].pop('interpolation')  # bilinear, the zoo's default
    with pytest.raises(InputError, match="'bilinear'.*write"):
        check_pipelines(cfg)


def test_local_files_and_other_models_are_not_checked(cfg, tmp_path):
    for pipeline in pipelines(cfg):
        step(pipeline, 'Resize').interpolation = 'bilinear'
    cfg.model.pretrained = str(tmp_path)
    check_pipelines(cfg)
    cfg.model.pretrained = None
    check_pipelines(cfg)
    cfg.model = dict(type='Recognizer3D', backbone=dict(type='ResNet3d'))
    check_pipelines(cfg)
    check_pipelines(Config())


def test_captions_of_another_tokenizer_are_refused(cfg):
    cfg.model.update(arch='ViT-L-14-CLIPA', pretrained=None)
    with pytest.raises(InputError) as error:
        check_pipelines(cfg)
    assert str(error.value).startswith('train_dataloader: the captions are token')
    for part in ("open_clip's BPE (49408 tokens)", 'bert-base-uncased',
                 "write dict(type='OpenCLIPTokenize', model='ViT-L-14-CLIPA')"):
        assert part in str(error.value)


def test_the_text_towers_own_arch_counts(cfg, tmp_path):
    arch, _ = build_arch('eos', tmp_path)
    cfg.model.update(arch=copy.deepcopy(TINY_ARCH), pretrained=None)
    check_pipelines(cfg)
    cfg.model.text_backbone.update(arch=arch)
    with pytest.raises(InputError, match=f'takes {tmp_path}'):
        check_pipelines(cfg)
    for pipeline in pipelines(cfg):
        step(pipeline, 'OpenCLIPTokenize').update(model=copy.deepcopy(arch))
    check_pipelines(cfg)


def test_a_recognizers_normalisation_is_that_of_its_towers_tag():
    path, = (CONFIGS / 'recognition' / 'clip').glob('clip_vit-base-p16*.py')
    cfg = Config.fromfile(path)
    check_pipelines(cfg)
    cfg.model.data_preprocessor.mean = [123.675, 116.28, 103.53]
    with pytest.raises(InputError, match="'openai' for arch 'ViT-B-16-quickgelu' was"):
        check_pipelines(cfg)
    cfg.model.backbone.pretrained = None
    check_pipelines(cfg)
