from collections.abc import Callable

import open_clip
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from open_clip.tokenizer import get_clean_fn

from mmaction_centerclip.clip.models import (
    build_tokenizer,
    clip_config,
    context_length_of,
    tokenizer_of,
)
from mmaction_centerclip.errors import InputError, named_errors


@TRANSFORMS.register_module()
class OpenCLIPTokenize(BaseTransform):
    """Tokenize the captions of a sample.

    Required Keys:

        - text: a caption or a list of C captions

    Modified Keys:

        - text: token ids, int64 (C, L), padded as the tokenizer pads

    Added Keys:

        - tokenizer: the tokenizer's name, which a model compares with that of
          its own
        - num_truncated: captions that were cut to the context length; their
          end token is kept

    Args:
        model (str | dict): The model's ``arch``, see :func:`clip_config`, whose
            tokenizer to use. OpenAI's models share the default's vocabulary.
        context_length (int, optional): L, start and end included; None for the model's.
    """
    deterministic = True

    def __init__(self, model: str | dict = 'ViT-B-32',
                 context_length: int | None = None) -> None:
        if context_length is not None and context_length < 3:
            raise InputError('context_length must be at least 3, got '
                             f'{context_length!r}')
        self.model = model
        self.context_length = context_length
        with named_errors('OpenCLIPTokenize: model'):
            self.sizes = open_clip.CLIPTextCfg(**clip_config(model)['text_cfg'])
            self.tokenizer = tokenizer_of(model)
            self._tokenize = build_tokenizer(model)

    def transform(self, results: dict) -> dict:
        if 'text' not in results:
            # As when the zoo's inference_recognizer is given a retriever.
            raise InputError(
                f'{results.get("filename")}: a retriever compares videos with '
                "captions, and there is no 'text'; to encode, score or rank videos, "
                'use mmaction_centerclip.apis.VideoTextRetrievalInferencer')
        texts = results['text']
        texts = [texts] if isinstance(texts, str) else list(texts)
        for text in texts:
            if not text.strip():
                raise InputError(f'{results.get("filename")}: empty caption {text!r}')
        length = context_length_of(self.model, self.context_length)
        ids = self._tokenize(texts, context_length=length)
        if ids.max() >= self.sizes.vocab_size:
            raise InputError(f'OpenCLIPTokenize: {self.tokenizer} gives the token id '
                             f'{int(ids.max())}, beyond the vocabulary of the model')
        results['text'] = ids
        results['tokenizer'] = self.tokenizer
        # Behind a caption that fits are zeros, where open_clip's own tokenizer pads.
        pads = hasattr(self._tokenize, 'encode')
        results['num_truncated'] = sum(
            _num_tokens(self._tokenize, text) > length
            for text, last in zip(texts, ids[:, -1].tolist()) if last or not pads)
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(model={self.model!r}, '
                f'context_length={self.context_length})')


def _num_tokens(tokenizer: Callable, text: str) -> int:
    """Count a caption's tokens, uncut, with those that a tokenizer adds."""
    if hasattr(tokenizer, 'encode'):
        return len(tokenizer.encode(text)) + 2
    # open_clip's wrapper of one of Hugging Face.
    clean = getattr(tokenizer, 'clean_fn', get_clean_fn('canonicalize'))
    is_clips = getattr(tokenizer, 'tokenizer_mode', '') == 'clips'
    ids = tokenizer.tokenizer(
        clean(text), add_special_tokens=not is_clips, verbose=False).input_ids
    return len(ids) + 3 * is_clips
