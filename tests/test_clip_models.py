"""What open_clip knows of its models, all of them."""
import functools

import open_clip
import pytest

from mmaction_centerclip.clip_models import (
    check_normalization,
    check_tokenizer,
    clip_config,
    pictures_of,
    tokenizer_of,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones.clip_arch import (
    text_arguments,
    vision_arguments,
)

# Of the configs.
MEAN, STD = [122.771, 116.746, 104.093], [68.500, 66.632, 70.323]


def builds(arch):
    try:
        return bool(text_arguments(arch) and vision_arguments(arch))
    except InputError:
        return False


@functools.cache
def built_archs():
    return [name for name in open_clip.list_models() if builds(name)]


def tags_that_differ(*facts):
    """Pairs of an arch that builds and a tag, of other facts than OpenAI's."""
    openai = pictures_of('ViT-B-32-quickgelu', 'openai')
    found = []
    for arch in built_archs():
        for tag in open_clip.list_pretrained_tags_by_model(arch):
            known = pictures_of(arch, tag)
            if any(known[fact] != openai[fact] for fact in facts):
                found.append((arch, tag))
    return found


def test_the_archs_that_take_tokens_of_hugging_face():
    others = [name for name in built_archs()
              if not tokenizer_of(name).startswith("open_clip's BPE (49408")]
    assert len(others) == 13
    assert all('CLIPA' in name or 'worldwide' in name for name in others)
    for name in others:
        with pytest.raises(InputError) as error:
            check_tokenizer(tokenizer_of('ViT-B-32'), name)
        assert "open_clip's BPE (49408 tokens)" in str(error.value)
        assert clip_config(name)['text_cfg']['hf_tokenizer_name'] in str(error.value)
        assert f"model='{name}')" in str(error.value)
        check_tokenizer(tokenizer_of(name), name)


def test_options_of_a_tokenizer_are_part_of_its_name():
    arch = clip_config('ViT-B-32')
    assert tokenizer_of(arch) == tokenizer_of('ViT-B-16-quickgelu')
    names = {tokenizer_of(arch)}
    for options in (dict(vocab_size=50000), dict(hf_tokenizer_name='x'),
                    dict(hf_tokenizer_name='x', tokenizer_mode='clips'),
                    dict(tokenizer_kwargs=dict(clean='whitespace'))):
        other = dict(arch, text_cfg=dict(arch['text_cfg'], **options))
        names.add(tokenizer_of(other))
        with pytest.raises(InputError, match="model=the model's arch"):
            check_tokenizer(tokenizer_of(arch), other)
    assert len(names) == 5


def test_the_tags_of_another_normalisation_are_refused():
    differ = tags_that_differ('mean', 'std')
    assert len(differ) == 8 and ('ViT-L-14', 'laion2b_s32b_b82k') in differ
    for arch in built_archs():
        for tag in open_clip.list_pretrained_tags_by_model(arch):
            known = open_clip.get_pretrained_cfg(arch, tag)
            own = [[255 * x for x in known[key]] for key in ('mean', 'std')]
            check_normalization(arch, tag, *own)
            if (arch, tag) not in differ:
                check_normalization(arch, tag, MEAN, STD)
                continue
            with pytest.raises(InputError) as error:
                check_normalization(arch, tag, MEAN, STD)
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
        check_normalization(arch, 'openai', mean, std)
    rounded = [round(x, 1) for x in MEAN], [round(x, 1) for x in STD]
    check_normalization(arch, 'openai', *rounded)
    # Nothing is known of a file, and nothing to be known without weights.
    for pretrained in (None, __file__):
        check_normalization(arch, pretrained, mean, std)
    check_normalization(clip_config(arch), 'openai', mean, std)
