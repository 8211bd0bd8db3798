"""X-Pool's similarity: a caption's own mean of the frames."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.ops import mask_or_all
from mmaction_centerclip.utils.option_types import PositiveInt, Share

from .base import SimilarityHead


@MODELS.register_module()
class TextConditionedPoolingHead(SimilarityHead):
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

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        """Return cosine similarities (texts, videos)."""
        padding = ~mask_or_all(video['segment_mask'])
        scores = []
        for queries, sentence in zip(
                text['queries'].split(self.chunk_size),
                text['sentence'].split(self.chunk_size)):
            attention = torch.einsum('te,vse->tvs', queries, video['keys'])
            attention = attention * queries.shape[-1]**-0.5
            attention = attention.masked_fill(padding, float('-inf'))
            pooled = torch.einsum('tvs,vse->tve', attention.softmax(dim=-1),
                                  video['values'])
            pooled = self.ln_pooled(self.projection(pooled))
            pooled = F.normalize(
                self.ln_output(pooled + self.dropout(self.dense(pooled))), dim=-1)
            scores.append(torch.einsum('te,tve->tv', sentence, pooled))
        return torch.cat(scores)


def _identity(dims: int) -> nn.Linear:
    layer = nn.Linear(dims, dims)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
