"""Turn captions into token ids with open_clip's tokenizers."""
from collections.abc import Callable
from functools import cache

import open_clip
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from mmaction_centerclip.errors import InputError, check_positive_int

__all__ = ['OpenCLIPTokenize']


@TRANSFORMS.register_module()
class OpenCLIPTokenize(BaseTransform):
    """Tokenize the captions of a sample.

    Required Keys:

        - text: a caption or a list of C captions

    Modified Keys:

        - text: token ids, int64 (C, L), padded with zeros

    Added Keys:

        - num_truncated: captions that were cut to the context length; their
          end token is kept

    Args:
        model (str): The model of open_clip whose tokenizer to use.
            Defaults to ``'ViT-B-32'``, whose vocabulary OpenAI's models share.
        context_length (int, optional): L, start and end tokens included.
            Defaults to None: the model's own.

    Raises:
        InputError: If open_clip has no such model, ``context_length`` is
            below 3, or a caption is empty.
    """

    def __init__(self,
                 model: str = 'ViT-B-32',
                 context_length: int | None = None) -> None:
        if open_clip.get_model_config(model) is None:
            raise InputError('model must be a model of open_clip, got '
                             f'{model!r}')
        if context_length is not None and check_positive_int(
                'context_length', context_length) < 3:
            raise InputError('context_length must be at least 3, got '
                             f'{context_length!r}')
        self.model = model
        self.context_length = context_length

    def transform(self, results: dict) -> dict:
        """Tokenize ``results['text']``."""
        texts = results['text']
        texts = [texts] if isinstance(texts, str) else list(texts)
        for text in texts:
            if not text.strip():
                raise InputError(
                    f'{results.get("filename")}: empty caption {text!r}')
        tokenizer = _tokenizer(self.model)
        length = self.context_length or tokenizer.context_length
        results['text'] = tokenizer(texts, context_length=length)
        # A full row ends with the end token whether or not it was cut.
        full = results['text'][:, -1] != 0
        results['num_truncated'] = sum(
            len(tokenizer.encode(text)) + 2 > length
            for text, is_full in zip(texts, full) if is_full)
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(model={self.model!r}, '
                f'context_length={self.context_length})')


@cache
def _tokenizer(model: str) -> Callable:
    return open_clip.get_tokenizer(model)
