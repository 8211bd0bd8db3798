import copy
import json
import pickle

import open_clip
import pytest
import torch
from mmaction.registry import DATASETS, TRANSFORMS

from mmaction_centerclip.errors import InputError

from ..conftest import TINY_ARCH
from ..hf_tokenizers import KINDS, build_arch


def build(**options):
    return TRANSFORMS.build(dict(type='OpenCLIPTokenize', **options))


def tokenize(text, **options):
    return build(**options)(dict(filename='a.mp4', text=text))


def tiny(**text):
    arch = copy.deepcopy(TINY_ARCH)
    arch['text_cfg'].update(text)
    return arch


@pytest.mark.parametrize('text', ['a dog', ['a dog', 'two men talk']])
def test_ids_are_those_of_open_clip(text):
    out = tokenize(text)
    assert torch.equal(out['text'], open_clip.tokenize(text))
    assert out['num_truncated'] == 0
    assert out['tokenizer'] == "open_clip's BPE (49408 tokens)"


def test_long_captions_are_cut_and_counted():
    # 8 tokens and the two ends fill ten places; nine are too many.
    out = tokenize(['dog ' * 8, 'dog ' * 9, 'dog'], context_length=10)
    assert out['text'].shape == (3, 10)
    assert out['num_truncated'] == 1
    assert (out['text'][:2, -1] == 49407).all()


def test_the_context_and_the_options_are_the_models():
    assert tokenize('a dog', model='PE-Core-B-16')['text'].shape == (1, 32)
    arch = tiny(tokenizer_kwargs=dict(clean='canonicalize'))
    out = tokenize('A dog!', model=arch)
    assert out['text'].shape == (1, 16)
    assert torch.equal(out['text'], open_clip.tokenize('a dog', 16))
    assert out['tokenizer'] != tokenize('A dog!')['tokenizer']
    assert not torch.equal(out['text'], open_clip.tokenize('A dog!', 16))


@pytest.mark.parametrize('text, options, message', [
    (' ', {}, "a.mp4: empty caption ' '"),
    ('a', dict(model='ViT-B/32'), "OpenCLIPTokenize: model: .*got 'ViT-B/32'"),
    ('a', dict(model='local-dir:/no/such'), "'local-dir:/no/such' cannot be read"),
    ('a', dict(model=dict(embed_dim=4)), "model: arch lacks .*'text_cfg'"),
    ('a', dict(model=tiny(vocab_size=500)), 'BPE has 49408 tokens, .* model 500'),
    ('a', dict(model=tiny(vocab_size=901629)), 'said by text_cfg.hf_tokenizer'),
    ('a', dict(model=tiny(hf_tokenizer_name='x', tokenizer_kwargs=dict(
        trust_remote_code=True))), 'must not have trust_remote_code'),
    ('a', dict(context_length=2), 'at least 3, got 2'),
    ('a', dict(context_length='32'), "an integer or None, got '32'"),
])
def test_bad_input_is_named(text, options, message):
    with pytest.raises(InputError, match=message):
        tokenize(text, **options)


def test_a_tokenizer_that_cannot_be_loaded_is_named(tmp_path):
    arch = tiny(hf_tokenizer_name=str(tmp_path / 'nothing'))
    with pytest.raises(InputError) as error:
        build(model=arch)
    message = str(error.value)
    assert str(tmp_path / 'nothing') in message and '\n' not in message
    try:
        import transformers  # noqa: F401
    except ImportError:
        assert '(transformers); install' in message
        assert 'mmaction_centerclip[hf]' in message
    else:
        assert 'cannot be loaded (' in message


@pytest.mark.parametrize('kind', KINDS)
def test_tokenizers_of_hugging_face(kind, tmp_path):
    arch, ids = build_arch(kind, tmp_path)
    transform = build(model=arch)
    added = dict(eos=2, erased=2, end_pads=1, end=1, clips=3)[kind]
    captions = [' '.join(['dog'] * n) for n in (1, 8 - added, 9 - added, 12)]
    out = transform(dict(text=captions))
    assert out['text'].shape == (4, 8) and out['text'].dtype == torch.int64
    assert out['num_truncated'] == 2
    # Both that are cut hold as much as the one that just fits.
    assert ((out['text'] == ids['dog']).sum(1) ==
            torch.tensor([1] + 3 * [8 - added])).all()
    assert out['tokenizer'].startswith(f'{tmp_path} ({len(ids)} tokens)')
    again = pickle.loads(pickle.dumps(transform))  # as workers are given it
    assert torch.equal(again(dict(text=captions))['text'], out['text'])
    assert transform(dict(text='dog'))['text'].tolist() == out['text'][:1].tolist()


def test_a_folder_of_open_clip_brings_its_tokenizer(tmp_path):
    arch, ids = build_arch('eos', tmp_path)
    arch['text_cfg']['hf_tokenizer_name'] = 'some/name'
    (tmp_path / 'open_clip_config.json').write_text(
        json.dumps(dict(model_cfg=arch)))
    out = tokenize('a dog', model=f'local-dir:{tmp_path}')
    assert out['text'][0, :4].tolist() == [0, ids['a'], ids['dog'], 2]
    assert out['tokenizer'] == f'local-dir:{tmp_path} ({len(ids)} tokens)'


def test_ids_beyond_the_models_vocabulary_are_named(tmp_path):
    arch, ids = build_arch('eos', tmp_path)
    arch['text_cfg']['vocab_size'] = ids['zebra']
    transform = build(model=arch)
    assert transform(dict(text='a dog'))['num_truncated'] == 0
    with pytest.raises(InputError, match=f'token id {ids["zebra"]}, beyond'):
        transform(dict(text='a zebra'))


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_sample_says_whose_tokens_it_has(tmp_path, test_mode):
    (tmp_path / 'a.mp4').write_text('which no transform here reads')
    (tmp_path / 'list.json').write_text('{"a.mp4": ["a dog", "a cat"]}')
    dataset = DATASETS.build(dict(
        type='VideoTextRetrievalDataset', ann_file=str(tmp_path / 'list.json'),
        data_prefix=dict(video=str(tmp_path)), test_mode=test_mode, pipeline=[
            build(context_length=8), TRANSFORMS.build(
                dict(type='PackActionInputs', collect_keys=('text', )))]))
    sample = dataset[0]['data_samples']
    assert sample.tokenizer == "open_clip's BPE (49408 tokens)"
    assert sample.num_truncated == 0
