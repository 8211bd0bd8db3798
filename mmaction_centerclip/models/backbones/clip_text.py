"""open_clip's text transformer, with word features and another context."""
from typing import NamedTuple

import torch
from mmaction.registry import MODELS
from open_clip.transformer import TextTransformer, text_global_pool
from torch import Tensor, nn

from mmaction_centerclip.clip.arch import text_arguments
from mmaction_centerclip.clip.models import (
    BPE,
    BPE_END,
    check_tokenizer,
    context_length_of,
    tokenizer_of,
)
from mmaction_centerclip.clip.weights import fit_positions, longest_context
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.weights import load_strictly


class TextFeatures(NamedTuple):
    """Features of a batch of captions."""
    sentence: Tensor  # (B, E), not normalised
    words: Tensor  # every token, projected likewise, (B, L, E)
    mask: Tensor  # (B, L), True up to the end token, or the last word (CLIPA)


@MODELS.register_module()
class CLIPTextTower(TextTransformer):
    """CLIP's text tower, open_clip's to the last bit at the model's context length.

    A shorter ``context_length`` (see :func:`context_length_of`) keeps the first rows of
    the positional embedding; a longer one, at most :func:`longest_context`, has them
    stretched while weights are loaded, see :func:`stretch_positions`.
    """

    def __init__(self, arch: str | dict, context_length: int | None = None) -> None:
        arguments = text_arguments(arch)
        own = longest = arguments['context_length']
        if context_length is not None:
            if arguments['pool_type'] != 'last':  # else the last position is trained
                longest = longest_context(own)
            if not 2 <= context_length <= longest:
                stretched = f', stretched to {longest}' * (longest > own)
                raise InputError(f"context_length must be from 2 to the model's own "
                                 f'{own}{stretched}, got {context_length!r}')
            arguments['context_length'] = context_length_of(arch, context_length)
        super().__init__(**arguments)
        self.embed_dims = self.output_dim
        self.arch = arch
        self.tokenizer = tokenizer_of(arch)

    def forward(self, text: Tensor) -> TextFeatures:
        """Encode captions of token ids, int64 (B, L).

        L may be below the context length, unless the last position is the feature.
        """
        length = text.shape[1]
        if length > self.context_length or (
                self.pool_type == 'last' and length < self.context_length):
            bound = 'exactly' if self.pool_type == 'last' else 'at most'
            raise InputError(f'text has {length} tokens a caption, the text '
                             f'tower takes {bound} {self.context_length}')
        x, mask = self._embeds(text)
        if mask is not None:
            mask = mask[..., :length, :length]
        words = self.ln_final(self.transformer(x, attn_mask=mask))
        # open_clip 3.0 does not know the keyword.
        eos = dict(eos_token_id=self.eos_id) if self.pool_type == 'eos' else {}
        sentence = text_global_pool(words, text, self.pool_type, **eos)
        # The sentence apart: the rounding of a product depends on its rows.
        return TextFeatures(
            self.project(sentence), self.project(words), self.word_mask(text))

    def project(self, x: Tensor) -> Tensor:
        """Project tokens (..., C) to the embedding (..., E)."""
        if self.text_projection is None:
            return x
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(x)
        return x @ self.text_projection

    def word_mask(self, text: Tensor) -> Tensor:
        """Return True for words and end token of ids (B, L), not for padding."""
        positions = torch.arange(text.shape[1], device=text.device)
        if self.pool_type == 'argmax':
            return positions <= text.argmax(dim=1, keepdim=True)
        if self.pool_type == 'eos':
            is_end = (text == self.eos_id).int()
            return positions <= is_end.argmax(dim=1, keepdim=True)
        # Of the equal tokens that a row ends with, only the first may be more
        # than padding: SigLIP's pads are its end tokens.
        padding = (text == text[:, -1:]).int().flip(1).cumprod(1).sum(1, True)
        return (positions <= text.shape[1] - padding) & (text != self.pad_id)

    def check_tokens(self, text: Tensor, tokenizers: set[str | None]) -> None:
        """Refuse captions of another model's tokenizer."""
        for name in tokenizers - {None, self.tokenizer}:
            check_tokenizer(name, self.arch)
        if None not in tokenizers or not text.numel():
            return
        low, high = (int(x) for x in text.aminmax())
        if low < 0 or high >= self.vocab_size:
            raise InputError(
                f'text has token ids from {low} to {high}, the vocabulary of '
                f'{self.tokenizer} those from 0 to {self.vocab_size - 1}')
        end = None  # not known, as of a vocabulary that open_clip's is not
        if self.pool_type == 'eos':
            end = self.eos_id
        elif self.tokenizer.startswith(BPE) and self.vocab_size > BPE_END:
            end = BPE_END
        if end is not None and not (text == end).any(dim=1).all():
            raise InputError(f'text has a caption without the end token {end} '
                             f'of {self.tokenizer}')

    def tower_blocks(self) -> nn.ModuleList:
        """Return the blocks, in order."""
        return self.transformer.resblocks

    def freeze(self, num_blocks: int) -> None:
        """Freeze the embeddings and the first blocks."""
        if num_blocks < 0:
            return
        self.positional_embedding.requires_grad = False
        for module in (self.token_embedding, *self.tower_blocks()[:num_blocks]):
            module.requires_grad_(False)

    def load_pretrained(self, state: dict[str, Tensor], source: str) -> None:
        """Load weights; their positions are cut or stretched to the context length."""
        positions = state.get('positional_embedding')
        if getattr(positions, 'ndim', 0) == 2:  # else it is refused below
            state = dict(state, positional_embedding=fit_positions(
                positions, context_length_of(self.arch), self.context_length, source))
        load_strictly(self, state, source)
