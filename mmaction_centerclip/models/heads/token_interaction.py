"""DRL's similarity: words and frames, each with its best counterpart."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.ops import mask_or_all
from mmaction_centerclip.utils.option_types import PositiveInt

from .base import SimilarityHead


@MODELS.register_module()
class WeightedTokenInteractionHead(SimilarityHead):
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
        padded_segments = ~mask_or_all(video['segment_mask'])
        padded_words = ~mask_or_all(text['word_mask'])[:, :, None, None]
        scores = []
        for words, padded, weights in zip(
                F.normalize(text['words'], dim=-1).split(self.chunk_size),
                padded_words.split(self.chunk_size),
                text['word_weights'].split(self.chunk_size)):
            cosines = torch.einsum('tle,vse->tlvs', words, segments)
            best_segment = cosines.masked_fill(
                padded_segments, float('-inf')).max(dim=3).values
            best_word = cosines.masked_fill(padded, float('-inf')).max(dim=1).values
            scores.append(
                torch.einsum('tlv,tl->tv', best_segment, weights)
                + torch.einsum('tvs,vs->tv', best_word,
                               video['segment_weights']))
        return 0.5 * torch.cat(scores)


def _perceptron(dims: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, 1))


def _weights(perceptron: nn.Sequential, tokens: Tensor, token_mask: Tensor) -> Tensor:
    """Return weights (B, L) of tokens (B, L, E): zero at padding, sum one."""
    scores = perceptron(tokens).squeeze(-1).float()
    return scores.masked_fill(~mask_or_all(token_mask), float('-inf')).softmax(dim=1)
