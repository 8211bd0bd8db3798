"""Architectures with tokenizers of Hugging Face, built here, without a network."""
import copy

import pytest

from .conftest import TINY_ARCH

WORDS = ['a', 'dog', 'cat', 'runs', 'sleeps', '#', 'zebra']
# Special tokens in the order of their ids, what stands around a caption, and
# the rest of open_clip's text_cfg.
KINDS = {
    # MetaCLIP 2 worldwide, of XLM-V's ids.
    'eos': (['<s>', '<pad>', '</s>', '<unk>'], '<s> $A </s>',
            dict(pool_type='eos', eos_id=2)),
    # CLIPA, which erases the end token.
    'erased': (['<pad>', '<s>', '</s>', '<unk>'], '<s> $A </s>',
               dict(pool_type='last', no_causal_mask=True,
                    tokenizer_kwargs=dict(strip_sep_token=True))),
    # SigLIP, which pads with end tokens, and SigLIP 2, which does not.
    'end_pads': (['<unk>', '</s>'], '$A </s>',
                 dict(pool_type='last', no_causal_mask=True, proj_bias=True,
                      tokenizer_kwargs=dict(clean='canonicalize'))),
    'end': (['<pad>', '</s>', '<unk>'], '$A </s>',
            dict(pool_type='last', no_causal_mask=True)),
    # CLIPS, with a class token behind the padding.
    'clips': (['<pad>', '<s>', '</s>', '<unk>', '<cls>'], '<s> $A </s>',
              dict(pool_type='last', tokenizer_mode='clips')),
}


def build_arch(kind, folder, context_length=8):
    """A tiny CLIP of such a tokenizer, which is saved in a folder."""
    pytest.importorskip('transformers')
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    special, template, options = KINDS[kind]
    ids = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        special_tokens=[(token, ids[token]) for token in special])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token='<unk>', eos_token='</s>',
        bos_token='<s>' if '<s>' in ids else None, sep_token='</s>',
        cls_token='<cls>' if '<cls>' in ids else None,
        pad_token='<pad>' if '<pad>' in ids else '</s>').save_pretrained(folder)
    arch = copy.deepcopy(TINY_ARCH)
    arch['text_cfg'].update(
        options, hf_tokenizer_name=str(folder), vocab_size=len(ids),
        context_length=context_length)
    return arch, ids
