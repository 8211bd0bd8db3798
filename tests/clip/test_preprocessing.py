"""The pictures that open_clip's models were trained on, for each of them."""
import json

import open_clip
import pytest

from mmaction_centerclip.clip.models import clip_config
from mmaction_centerclip.clip.preprocessing import (
    check_normalization,
    preprocessing_for,
    pretrained_preprocessing,
)
from mmaction_centerclip.errors import InputError

from ..conftest import TINY_ARCH
from .test_models import built_archs

# OpenAI's, as the configs of the shapes have them.
MEAN_OF_OPENAI = [122.771, 116.746, 104.094]
MEAN, STD = [122.771, 116.746, 104.093], [68.500, 66.632, 70.323]


def check(arch, pretrained, mean, std):
    check_normalization(pretrained_preprocessing(arch, pretrained), 'here', mean, std)


def tags_that_differ(*facts):
    """Pairs of an arch that builds and a tag, of other facts than OpenAI's."""
    openai = pretrained_preprocessing('ViT-B-32-quickgelu', 'openai')
    found = []
    for arch in built_archs():
        for tag in open_clip.list_pretrained_tags_by_model(arch):
            known = pretrained_preprocessing(arch, tag)
            if any(known[fact] != openai[fact] for fact in facts):
                found.append((arch, tag))
    return found


def test_the_tags_of_another_normalisation_are_refused():
    differ = tags_that_differ('mean', 'std')
    assert len(differ) == 8 and ('ViT-L-14', 'laion2b_s32b_b82k') in differ
    for arch in built_archs():
        for tag in open_clip.list_pretrained_tags_by_model(arch):
            known = open_clip.get_pretrained_cfg(arch, tag)
            own = [[255 * x for x in known[key]] for key in ('mean', 'std')]
            check(arch, tag, *own)
            if (arch, tag) not in differ:
                check(arch, tag, MEAN, STD)
                continue
            with pytest.raises(InputError) as error:
                check(arch, tag, MEAN, STD)
            for value in (*own[0], *own[1], *MEAN, *STD):
                assert str(round(value, 3)) in str(error.value)


def test_the_tags_of_other_pictures_are_14():
    assert len(tags_that_differ('mean', 'std', 'interpolation',
                                'resize_mode')) == 14


@pytest.mark.parametrize('mean, std', [
    (None, None), (MEAN, [58.395, 57.12, 57.375]), ([0, 0, 0], STD),
    (MEAN[::-1], STD), ([x / 255 for x in MEAN], [x / 255 for x in STD])])
def test_a_normalisation_unlike_openais_is_refused(mean, std):
    arch = 'ViT-B-32-quickgelu'
    with pytest.raises(InputError, match=r'.122.771, 116.746, 104.094\], .std.: '):
        check(arch, 'openai', mean, std)
    rounded = [round(x, 1) for x in MEAN], [round(x, 1) for x in STD]
    check(arch, 'openai', *rounded)
    # Nothing is known of a file, and nothing to be known without weights.
    for pretrained in (None, __file__):
        check(arch, pretrained, mean, std)
    check(clip_config(arch), 'openai', mean, std)


def test_pictures_without_a_tag_are_those_that_all_tags_agree_on():
    for tag in (None, 'webli'):
        known = preprocessing_for('ViT-B-16-SigLIP2-384', tag)
        assert known == dict(mean=3 * [127.5], std=3 * [127.5], image_size=384,
                             interpolation='bicubic', resize_mode='squash')


def test_pictures_are_openais_where_nothing_else_is_known(tmp_path):
    openai = pretrained_preprocessing('ViT-B-32-quickgelu', 'openai')
    assert openai['interpolation'] == 'bicubic'
    assert openai['resize_mode'] == 'shortest'
    # The tags of ViT-L-14 differ, a dict and a file have none.
    for arch, pretrained in (('ViT-L-14', None), ('ViT-L-14', str(tmp_path)),
                             (clip_config('ViT-B-16-SigLIP2'), 'webli')):
        assert preprocessing_for(arch, pretrained) == openai
    assert preprocessing_for(TINY_ARCH, None) == dict(openai, image_size=32)


@pytest.mark.parametrize('named', [True, False], ids=['local-dir', 'beside a file'])
def test_a_folder_brings_its_own_preprocessing(named, tmp_path, monkeypatch):
    stored = dict(model_cfg=TINY_ARCH, preprocess_cfg=dict(
        mean=[0.5, 0.5, 0.5], std=[0.25, 0.5, 0.5], resize_mode='squash',
        interpolation='bilinear', size=[32, 32]))
    config = tmp_path / 'open_clip_config.json'
    config.write_text(json.dumps(stored))
    weights = tmp_path / 'weights.pt'
    weights.touch()
    arch, file = (f'local-dir:{tmp_path}', None) if named else (TINY_ARCH, str(weights))
    found = preprocessing_for(arch, file)
    assert found == dict(mean=[127.5] * 3, std=[63.75, 127.5, 127.5],
                         interpolation='bilinear', resize_mode='squash', image_size=32)
    if not named:
        with pytest.raises(InputError, match='was trained with'):
            check(arch, file, MEAN, STD)
    for wrong in ('{', '[]', '{"preprocess_cfg": 3}',
                  json.dumps(stored | dict(preprocess_cfg=dict(mean=['a', 1, 2]))),
                  json.dumps(stored | dict(preprocess_cfg=dict(resize_mode='x')))):
        config.write_text(wrong)
        with pytest.raises(InputError):
            preprocessing_for(arch, file)


def test_a_file_of_a_tag_is_known_by_its_name(tmp_path):
    arch, tag = 'ViT-L-14', 'laion2b_s32b_b82k'
    hub = 'models--' + open_clip.get_pretrained_cfg(arch, tag)['hf_hub'].strip(
        '/').replace('/', '--')
    path = tmp_path / hub / 'snapshots' / '0' / 'open_clip_pytorch_model.bin'
    path.parent.mkdir(parents=True)
    path.touch()
    assert preprocessing_for(arch, str(path)) == pretrained_preprocessing(arch, tag)
    # It is a guess, which nobody must follow.
    assert pretrained_preprocessing(arch, str(path)) is None


def test_what_is_assumed_is_said_once(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('mmaction_centerclip.clip.preprocessing.print_log',
                        lambda text, *_: lines.append(text))
    path = tmp_path / 'mine.pt'
    path.touch()
    for _ in range(2):
        assert preprocessing_for(TINY_ARCH, str(path))['mean'] == MEAN_OF_OPENAI
    preprocessing_for(TINY_ARCH, None)
    line, = lines
    assert 'mine.pt' in line and 'are assumed' in line
