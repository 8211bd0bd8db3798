"""CLIP's text tower beside open_clip's, for every tokenizer and pooling."""
import copy
import json

import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP

from mmaction_centerclip.clip.arch import text_arguments
from mmaction_centerclip.clip.models import clip_config
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import CLIPTextTower

from ..conftest import TINY_ARCH
from ..hf_tokenizers import KINDS, build_arch

VISION = dict(image_size=16, patch_size=16, width=16, head_width=8, layers=1)


def is_built(name):
    try:
        return bool(text_arguments(name))
    except InputError:
        return False


ARCHS = [name for name in open_clip.list_models() if is_built(name)]
# Rows as the tokenizers lay them out, beside the length up to the end token.
ROWS = {
    'bpe': ([49406, 320, 49407], 0, 3),
    # The end token is not the largest id.
    'xlm-v': ([0, 900, 30, 2], 1, 4),
    'mt5': ([900, 30, 1], 0, 3),
    'bert': ([101, 900, 30], 0, 3),  # erased: 102, in the fourth place
    'SigLIP2': ([900, 30, 1], 0, 3),
    'SigLIP': ([900, 30, 1], 1, 3),
}


def rows(text_cfg, length):
    """A short caption and one that fills the context; lengths."""
    name = text_cfg.get('hf_tokenizer_name') or 'bpe'
    row, pad, count = ROWS[next(key for key in ROWS if key in name)]
    full = [row[0], *[40 + i for i in range(length - 2)], row[-1]]
    if 'bert' in name:
        full[-1] = 0
    ids = torch.tensor([row + [pad] * (length - len(row)), full])
    return ids, torch.tensor([count, length - ('bert' in name)])


def thin(arch):
    config = clip_config(arch)
    config.update(embed_dim=16, vision_cfg=VISION)
    config['text_cfg'].update(width=16, heads=2, layers=2)
    config['text_cfg']['vocab_size'] = min(
        config['text_cfg'].get('vocab_size', 49408), 50000)
    return config


# Of those that are equal but for what is thin here, one.
DIFFERENT = {json.dumps(thin(name), sort_keys=True): name for name in ARCHS}.values()


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize('name', DIFFERENT)
def test_every_arch_pools_as_open_clip(name):
    arch = thin(name)
    model = CustomTextCLIP(**{
        k: v for k, v in copy.deepcopy(arch).items() if k != 'custom_text'}).eval()
    for parameter in model.text.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tower = CLIPTextTower(arch).eval()
    tower.load_pretrained(model.text.state_dict(), name)
    text, lengths = rows(arch['text_cfg'], tower.context_length)
    out = tower(text)
    assert list(tower.state_dict()) == list(model.text.state_dict())
    assert torch.equal(out.sentence, model.encode_text(text))
    positions = torch.arange(tower.context_length)
    assert torch.equal(out.mask, positions < lengths[:, None])
    if tower.pool_type in ('argmax', 'eos'):
        # The sentence is the last word that the mask lets through.
        ends = out.words[torch.arange(2), out.mask.sum(1) - 1]
        torch.testing.assert_close(out.sentence, ends)
    # Different captions, different features.
    assert not torch.allclose(out.sentence[0], out.sentence[1], atol=1e-2)


def test_every_tokenizer_and_pooling_is_among_them():
    texts = [clip_config(name)['text_cfg'] for name in ARCHS]
    assert {t.get('pool_type', 'argmax') for t in texts} == {
        'argmax', 'eos', 'last'}
    assert len({t.get('hf_tokenizer_name') for t in texts}) >= 5
    assert len(ARCHS) >= 130
    own = [t for t in texts if not t.get('hf_tokenizer_name')]
    assert {t.get('vocab_size', 49408) for t in own} == {49408}


@torch.no_grad()
def test_the_first_token_is_pooled_with_the_words_before_the_padding():
    arch = copy.deepcopy(TINY_ARCH)
    arch['text_cfg'].update(pool_type='first', no_causal_mask=True, vocab_size=99,
                            pad_id=7, hf_tokenizer_name='x')
    out = CLIPTextTower(arch)(torch.tensor([[5, 9, 7, 7], [5, 9, 8, 6]]))
    torch.testing.assert_close(out.sentence, out.words[:, 0])
    assert out.mask.tolist() == [[True, True, False, False], [True] * 4]


@torch.no_grad()
@pytest.mark.parametrize('kind', sorted(KINDS.keys() - {'clips'}))
def test_the_mask_ends_where_the_tokenizer_of_the_arch_does(kind, tmp_path):
    arch, ids = build_arch(kind, tmp_path)
    from mmaction.registry import TRANSFORMS
    transform = TRANSFORMS.build(dict(type='OpenCLIPTokenize', model=arch))
    # The last word has a larger id than any special token, and is cut off.
    captions = ['dog', 'a zebra sleeps', 'a zebra ' * 6]
    sample = transform(dict(text=captions))
    tower = CLIPTextTower(arch)
    tower.check_tokens(sample['text'], {sample['tokenizer']})
    tower.check_tokens(sample['text'], {None})
    out = tower(sample['text'])
    added = dict(eos=2, erased=1, end_pads=1, end=1)[kind]
    full = 8 - (kind == 'erased')
    assert out.mask.sum(1).tolist() == [1 + added, 3 + added, full]
    assert len(out.sentence.unique(dim=0)) == 3


def with_text(**text):
    arch = copy.deepcopy(TINY_ARCH)
    arch['text_cfg'].update(text)
    return arch


@pytest.mark.parametrize('arch, ids, message', [
    (TINY_ARCH, [49406, 320, 49408], r'ids from 320 to 49408, .*BPE.* 0 to 49407'),
    (TINY_ARCH, [-1, 320, 49407], 'ids from -1 to'),
    # bert's, XLM-V's and T5's ids, unlike open_clip's own, lack its end token.
    (TINY_ARCH, [101, 900, 102], 'without the end token 49407'),
    (with_text(pool_type='eos', eos_id=2, hf_tokenizer_name='facebook/xlm-v-base'),
     [49406, 320, 49407], 'without the end token 2 of facebook/xlm-v-base'),
    (with_text(pool_type='last', hf_tokenizer_name='bert-base-uncased',
               vocab_size=32000), [49406, 320, 49407], '0 to 31999'),
])
def test_ids_of_unknown_origin_are_checked(arch, ids, message):
    tower = CLIPTextTower(arch)
    text = torch.tensor([ids])
    with pytest.raises(InputError, match=message):
        tower.check_tokens(text, {None, tower.tokenizer})
    tower.check_tokens(text, {tower.tokenizer})  # by name alone
    tower.check_tokens(text[:0], {None})


def test_ids_of_a_vocabulary_of_ones_own_need_only_be_in_it():
    tower = CLIPTextTower(with_text(vocab_size=600))
    tower.check_tokens(torch.tensor([[1, 599, 0]]), {None})
    with pytest.raises(InputError, match='from 0 to 600, .* 0 to 599'):
        tower.check_tokens(torch.tensor([[1, 600, 0]]), {None})


@pytest.mark.parametrize('build, message', [
    (lambda: CLIPTextTower('ViT-L-14-CLIPA', context_length=33),
     "from 2 to the model's own 32, got 33"),
    (lambda: CLIPTextTower(with_text(pool_type='last'))(torch.ones(1, 9).long()),
     'text has 9 tokens a caption, .* exactly 16'),
    (lambda: CLIPTextTower(with_text(pool_type='none')),
     "pool_type must be one of .*'eos'.* got 'none'"),
])
def test_bad_options_are_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
