"""Similarities of a caption with the segments of a video: X-CLIP's, X-Pool's, DRL's."""
import math
from abc import abstractmethod

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.ops import mask_or_all
from mmaction_centerclip.utils.option_types import PositiveInt, Share

from .base import SimilarityHead


class _PairwiseHead(SimilarityHead):
    """Compare ``chunk_size`` captions at a time with all videos."""
    chunk_size: int

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        padding = ~mask_or_all(video['segment_mask'])
        chunks = zip(*(x.split(self.chunk_size) for x in text.values()))
        return torch.cat([self.compare(dict(zip(text, chunk)), video, padding)
                          for chunk in chunks])

    @abstractmethod
    def compare(self, text: dict[str, Tensor], video: dict[str, Tensor],
                padding: Tensor) -> Tensor:
        """Return similarities (texts, videos); ``padding`` (B, S) does not count."""


@MODELS.register_module()
class SimilarityAttentionHead(_PairwiseHead):
    """Mean of a caption's cosines with the segments, weighted by their softmax.

    Attention over the similarity matrix, after X-CLIP (arXiv 2207.07285), of sentence
    and frames alone. Its temperature is learned, from 0.1: towards 0 the best segment
    decides, and with a high one all do. It works untrained, on any features. Memory is
    bounded by ``chunk_size``, the captions to compare with all videos at once.
    """

    def __init__(self, chunk_size: PositiveInt = 128, **kwargs) -> None:
        super().__init__(**kwargs)
        self.chunk_size = chunk_size
        self.log_temperature = nn.Parameter(torch.tensor(math.log(0.1)))

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        return dict(
            segments=F.normalize(segments.float(), dim=-1), segment_mask=frame_mask)

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        return dict(sentence=F.normalize(text.sentence.float(), dim=-1))

    def compare(self, text: dict[str, Tensor], video: dict[str, Tensor],
                padding: Tensor) -> Tensor:
        cosines = torch.einsum('te,vse->tvs', text['sentence'], video['segments'])
        weights = cosines * (-self.log_temperature).exp()
        weights = weights.masked_fill(padding, float('-inf')).softmax(dim=-1)
        return (weights * cosines).sum(dim=-1)


@MODELS.register_module()
class TextConditionedPoolingHead(_PairwiseHead):
    """Cosine of a caption and the segments as the caption attends to them.

    X-Pool (arXiv 2203.15086), Sec. 4. A caption's query and the keys of segments, with
    one head, weigh the values. The sum goes through a projection and a layer norm, then
    a linear layer with dropout beside it and another norm. The linear maps start as the
    identity. ``chunk_size`` captions at once take a few times chunk_size * B * E
    floats.
    """

    def __init__(self, embed_dims: PositiveInt, dropout: Share = 0.3,
                 chunk_size: PositiveInt = 32, **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = embed_dims
        self.chunk_size = chunk_size
        self.ln_input = nn.LayerNorm(embed_dims)
        self.query = _identity(embed_dims)
        self.key = _identity(embed_dims)
        self.value = _identity(embed_dims)
        self.projection = _identity(embed_dims)
        self.ln_pooled = nn.LayerNorm(embed_dims)
        self.dense = _identity(embed_dims)
        self.dropout = nn.Dropout(dropout)
        self.ln_output = nn.LayerNorm(embed_dims)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        segments = self.ln_input(segments.float())
        return dict(keys=self.key(segments).float(),
                    values=self.value(segments).float(), segment_mask=frame_mask)

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        sentence = text.sentence.float()
        return dict(queries=self.query(self.ln_input(sentence)).float(),
                    sentence=F.normalize(sentence, dim=-1))

    def compare(self, text: dict[str, Tensor], video: dict[str, Tensor],
                padding: Tensor) -> Tensor:
        queries = text['queries']
        attention = torch.einsum('te,vse->tvs', queries, video['keys'])
        attention = attention * queries.shape[-1]**-0.5
        attention = attention.masked_fill(padding, float('-inf'))
        pooled = torch.einsum('tvs,vse->tve', attention.softmax(dim=-1),
                              video['values'])
        pooled = self.ln_pooled(self.projection(pooled))
        pooled = F.normalize(
            self.ln_output(pooled + self.dropout(self.dense(pooled))), dim=-1)
        return torch.einsum('te,tve->tv', text['sentence'], pooled)


@MODELS.register_module()
class WeightedTokenInteractionHead(_PairwiseHead):
    """Weighted token-wise interaction of words and segments.

    DRL (arXiv 2203.07111), Sec. 3.2. Every word is compared, by cosine, with the
    segment that it is most similar to, and every segment with its word; the similarity
    is the mean of the two weighted sums. The weights of words, start and end token
    included, and of segments are the softmax of a two-layer perceptron of their
    features, not normalised. ``chunk_size`` captions at once take chunk_size * L * B *
    S floats for B videos.
    """

    def __init__(self, embed_dims: PositiveInt, chunk_size: PositiveInt = 16,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = embed_dims
        self.chunk_size = chunk_size
        self.word_weight = _perceptron(embed_dims)
        self.segment_weight = _perceptron(embed_dims)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return ``segments``, mask and weights; all count if none is valid."""
        segments = segments.float()
        return dict(segments=segments, segment_mask=frame_mask,
                    segment_weights=_weights(self.segment_weight, segments, frame_mask))

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        words = text.words.float()
        return dict(words=words, word_mask=text.mask,
                    word_weights=_weights(self.word_weight, words, text.mask))

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        segments = F.normalize(video['segments'], dim=-1)
        return 0.5 * super().similarity(text, dict(video, segments=segments))

    def compare(self, text: dict[str, Tensor], video: dict[str, Tensor],
                padding: Tensor) -> Tensor:
        words = F.normalize(text['words'], dim=-1)
        padded_words = ~mask_or_all(text['word_mask'])[:, :, None, None]
        cosines = torch.einsum('tle,vse->tlvs', words, video['segments'])
        best_segment = cosines.masked_fill(padding, float('-inf')).max(dim=3).values
        best_word = cosines.masked_fill(padded_words, float('-inf')).max(dim=1).values
        return (torch.einsum('tlv,tl->tv', best_segment, text['word_weights'])
                + torch.einsum('tvs,vs->tv', best_word, video['segment_weights']))


def _identity(dims: int) -> nn.Linear:
    layer = nn.Linear(dims, dims)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _perceptron(dims: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, 1))


def _weights(perceptron: nn.Sequential, tokens: Tensor, token_mask: Tensor) -> Tensor:
    """Return weights (B, L) of tokens (B, L, E): zero at padding, sum one."""
    scores = perceptron(tokens).squeeze(-1).float()
    return scores.masked_fill(~mask_or_all(token_mask), float('-inf')).softmax(dim=1)
