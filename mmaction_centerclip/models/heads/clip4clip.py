"""CLIP4Clip's similarities (arXiv 2104.08860, Sec. 3.3): mean, LSTM, transformers."""
import torch
from mmaction.registry import MODELS
from open_clip.transformer import LayerNorm, QuickGELU
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.ops import mask_or_all, weighted_mean
from mmaction_centerclip.utils.option_types import Positive, PositiveInt

from .base import SimilarityHead
from .transformer import TextTransformerMixin


@MODELS.register_module()
class MeanPoolingHead(SimilarityHead):
    """Cosine similarity of a caption and the mean of a video's segments.

    Sec. 3.3.1, parameter-free type. Each segment's feature has unit length before it is
    averaged, and so has the mean after it.
    """
    separable = True

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return ``video`` (B, E), of unit length; of all segments if none is valid."""
        segments = F.normalize(segments.float(), dim=-1)
        mean = weighted_mean(segments[:, :, None], frame_mask)[:, 0, 0]
        return dict(video=F.normalize(mean, dim=-1))

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        return dict(text=F.normalize(text.sentence.float(), dim=-1))

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        return text['text'] @ video['video'].T


@MODELS.register_module()
class SequentialLSTMHead(MeanPoolingHead):
    """Mean pooling of segments and an LSTM's outputs, added.

    Sec. 3.3.2, sequential type, LSTM: one layer. There are no positions; the authors'
    model holds a table of them, but does not use it in this type.
    """
    without_export = 'packs segments of different numbers for its LSTM'

    def __init__(self, embed_dims: PositiveInt, **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = embed_dims
        self.lstm = nn.LSTM(embed_dims, embed_dims, batch_first=True)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return ``video`` (B, E), of unit length, without segments not valid."""
        segments = segments.float()
        frame_mask = mask_or_all(frame_mask)
        # The LSTM reads a prefix: the valid segments move to the front, in
        # their order, and its outputs back to where the segments were.
        order = frame_mask.byte().argsort(dim=1, descending=True, stable=True)
        order = order[..., None].expand_as(segments)
        packed = pack_padded_sequence(segments.gather(1, order),
                                      frame_mask.sum(dim=1).cpu(), batch_first=True,
                                      enforce_sorted=False)
        # Not every CPU has an LSTM of less than float32.
        with torch.autocast(segments.device.type, enabled=False):
            outputs, _ = self.lstm(packed)
        outputs, _ = pad_packed_sequence(
            outputs, batch_first=True, total_length=segments.shape[1])
        outputs = torch.zeros_like(segments).scatter(1, order, outputs)
        return super().video_features(outputs + segments, frame_mask)


@MODELS.register_module()
class SequentialTransformerHead(TextTransformerMixin, MeanPoolingHead):
    """Mean pooling of segments that a transformer has related to each other.

    Sec. 3.3.2, sequential type, Transformer encoder: with learned positions, of
    ``max_segments``. What comes out is added to the features, without positions. Other
    options are those of :class:`TextTransformerMixin` and :class:`SimilarityHead`.
    """

    def __init__(self, embed_dims: PositiveInt, *, max_segments: PositiveInt = 77,
                 **kwargs) -> None:
        super().__init__(embed_dims, num_positions=max_segments, **kwargs)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return the pooled ``video`` (B, E), of unit length."""
        longest, count = len(self.position_embedding), segments.shape[1]
        if count > longest:
            raise InputError(
                f'{type(self).__name__}: max_segments={longest} is the most '
                f'segments of a video, got {count}')
        segments = segments.float()
        related = self.relate(segments, mask_or_all(frame_mask))
        return super().video_features(related + segments, frame_mask)


@MODELS.register_module()
class TightTransformerHead(TextTransformerMixin, SimilarityHead):
    """A transformer that reads a caption and a video together.

    Sec. 3.3.3, tight type. The sequence is the sentence feature and the segments'
    features, with learned positions; a layer norm, a linear layer, QuickGELU and
    another linear layer turn its first token into a number. The loss takes that number
    as it is: there is no temperature, and ``logit_scale`` is not trained. As in the
    authors' model, nothing is normalised before and no type of token is marked.

    Every pair of caption and video takes a pass of the transformer, ``chunk_size`` at
    once, which is repeated in the backward pass. ``max_positions`` is one more than the
    most segments of a video. For other options see :class:`TextTransformerMixin` and
    :class:`SimilarityHead`.
    """
    cosine = False

    def __init__(self, embed_dims: PositiveInt, *, max_positions: PositiveInt = 77,
                 layer_norm_eps: Positive = 1e-5, chunk_size: PositiveInt = 1024,
                 **kwargs) -> None:
        super().__init__(embed_dims, num_positions=max_positions,
                         layer_norm_eps=layer_norm_eps, **kwargs)
        # DDP wants a gradient of all that is trained.
        self.logit_scale.requires_grad = False
        self.chunk_size = chunk_size
        self.ln_pool = LayerNorm(embed_dims, eps=layer_norm_eps)
        self.dense = nn.Linear(embed_dims, embed_dims)
        self.activation = QuickGELU()
        self.similarity_dense = nn.Linear(embed_dims, 1)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        positions = len(self.position_embedding)
        if segments.shape[1] >= positions:
            raise InputError(
                f'{type(self).__name__}: max_positions={positions} is room '
                f'for a sentence and {positions - 1} segments of a video, got '
                f'{segments.shape[1]} segments')
        return dict(segments=segments.float(), segment_mask=frame_mask)

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        return dict(sentence=text.sentence.float())

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        """Return similarities (texts, videos), which have no bounds."""
        sentence, segments = text['sentence'], video['segments']
        # The sentence is seen too.
        mask = F.pad(mask_or_all(video['segment_mask']), (1, 0), value=True)
        texts, videos = len(sentence), len(segments)
        pairs = torch.arange(texts * videos, device=sentence.device)
        scores = [checkpoint(self._score, sentence, segments, mask, part // videos,
                             part % videos, use_reentrant=False)
                  for part in pairs.split(self.chunk_size) if len(part)]
        return torch.cat([sentence.new_zeros(0), *scores]).view(texts, videos)

    def logits(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        """Return the similarities, not scaled."""
        return self.add_bias(self.similarity(text, video))

    def _score(self, sentence: Tensor, segments: Tensor, token_mask: Tensor,
               text_index: Tensor, video_index: Tensor) -> Tensor:
        """Return the scores (P, ) of pairs of indices (P, )."""
        tokens = torch.cat([sentence[text_index, None], segments[video_index]], dim=1)
        first = self.relate(tokens, token_mask[video_index])[:, 0]
        hidden = self.activation(self.dense(self.ln_pool(first)))
        return self.similarity_dense(hidden).squeeze(-1)
