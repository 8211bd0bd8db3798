import open_clip
import pytest
import torch
from mmaction.registry import TRANSFORMS

from mmaction_centerclip.errors import InputError


def tokenize(text, **options):
    transform = TRANSFORMS.build(dict(type='OpenCLIPTokenize', **options))
    return transform(dict(filename='a.mp4', text=text))


@pytest.mark.parametrize('text', ['a dog', ['a dog', 'two men talk']])
def test_ids_are_those_of_open_clip(text):
    out = tokenize(text)
    assert torch.equal(out['text'], open_clip.tokenize(text))
    assert out['num_truncated'] == 0


def test_long_captions_are_cut_and_counted():
    # 8 tokens and the two ends fill ten places; nine are too many.
    out = tokenize(['dog ' * 8, 'dog ' * 9, 'dog'], context_length=10)
    assert out['text'].shape == (3, 10)
    assert out['num_truncated'] == 1
    assert (out['text'][:2, -1] == 49407).all()


@pytest.mark.parametrize('text, options, message', [
    (' ', {}, "a.mp4: empty caption ' '"),
    ('a', dict(model='ViT-B/32'), "got 'ViT-B/32'"),
    ('a', dict(context_length=2), 'at least 3, got 2'),
    ('a', dict(context_length='32'), "a positive integer, got '32'"),
])
def test_bad_input_is_named(text, options, message):
    with pytest.raises(InputError, match=message):
        tokenize(text, **options)
