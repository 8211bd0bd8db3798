"""All that open_clip knows of its models, for each of them."""
import functools

import open_clip
import pytest

from mmaction_centerclip.clip.arch import text_arguments, vision_arguments
from mmaction_centerclip.clip.models import check_tokenizer, clip_config, tokenizer_of
from mmaction_centerclip.errors import InputError


def builds(arch):
    try:
        return bool(text_arguments(arch) and vision_arguments(arch))
    except InputError:
        return False


@functools.cache
def built_archs():
    return [name for name in open_clip.list_models() if builds(name)]


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
