"""DRL's similarity: words and frames, each with its best counterpart."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.backbones import TextFeatures

from .base import SimilarityHead, check_positive, counted

__all__ = ['WeightedTokenInteractionHead']


@MODELS.register_module()
class WeightedTokenInteractionHead(SimilarityHead):
    """Weighted token-wise interaction of words and segments.

    DRL (arXiv 2203.07111), Sec. 3.2. Every word is compared, by cosine, with
    the segment that it is most similar to, and every segment with its word;
    the similarity is the mean of the two weighted sums. The weights of a
    caption's words, and those of a video's segments, are a softmax over what
    a two-layer perceptron says of their features, not normalised.

    The words are a caption's tokens up to the end token, the start and the
    end included.

    Args:
        embed_dims (int): Width E of the features.
        chunk_size (int): Captions to compare with all videos at once, which
            bounds the memory: chunk_size * L * B * S floats for B videos.
            Defaults to 16.
        **kwargs: See :class:`SimilarityHead`.

    Raises:
        InputError: If an option is not a positive integer.
    """

    def __init__(self,
                 embed_dims: int,
                 chunk_size: int = 16,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = embed_dims
        check_positive(self, embed_dims=embed_dims, chunk_size=chunk_size)
        self.chunk_size = chunk_size
        self.word_weight = _perceptron(embed_dims)
        self.segment_weight = _perceptron(embed_dims)

    def video_features(self, segments: Tensor,
                       mask: Tensor) -> dict[str, Tensor]:
        """What to keep of videos.

        All segments of a video without a valid segment count.

        Returns:
            dict[str, Tensor]: ``segments`` (B, S, E), ``segment_mask`` and
            ``segment_weights`` (B, S).
        """
        segments = segments.float()
        return dict(
            segments=segments,
            segment_mask=mask,
            segment_weights=_weights(self.segment_weight, segments, mask))

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        """What to keep of captions.

        Returns:
            dict[str, Tensor]: ``words`` (B, L, E), ``word_mask`` and
            ``word_weights`` (B, L).
        """
        words = text.words.float()
        return dict(
            words=words,
            word_mask=text.mask,
            word_weights=_weights(self.word_weight, words, text.mask))

    def similarity(self, text: dict[str, Tensor],
                   video: dict[str, Tensor]) -> Tensor:
        """Similarities (texts, videos), from -1 to 1."""
        segments = F.normalize(video['segments'], dim=-1)
        padding = ~counted(video['segment_mask'])
        scores = []
        for words, mask, weights in zip(
                F.normalize(text['words'], dim=-1).split(self.chunk_size),
                counted(text['word_mask']).split(self.chunk_size),
                text['word_weights'].split(self.chunk_size)):
            cosines = torch.einsum('tle,vse->tlvs', words, segments)
            of_words = cosines.masked_fill(padding, float('-inf')).max(dim=3)
            of_segments = cosines.masked_fill(
                ~mask[:, :, None, None], float('-inf')).max(dim=1)
            scores.append(
                torch.einsum('tlv,tl->tv', of_words.values, weights)
                + torch.einsum('tvs,vs->tv', of_segments.values,
                               video['segment_weights']))
        return 0.5 * torch.cat(scores)


def _perceptron(dims: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, 1))


def _weights(perceptron: nn.Sequential, tokens: Tensor,
             mask: Tensor) -> Tensor:
    """Weights (B, L) of tokens (B, L, E), zero at padding, with sum one."""
    scores = perceptron(tokens).squeeze(-1).float()
    return scores.masked_fill(~counted(mask), float('-inf')).softmax(dim=1)
