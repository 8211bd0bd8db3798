"""X-CLIP's similarity: segments weighted by how well a caption fits them."""
import math

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.ops import mask_or_all
from mmaction_centerclip.utils.option_types import PositiveInt

from .base import SimilarityHead


@MODELS.register_module()
class SimilarityAttentionHead(SimilarityHead):
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

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        padding = ~mask_or_all(video['segment_mask'])
        scores = []
        for sentence in text['sentence'].split(self.chunk_size):
            cosines = torch.einsum('te,vse->tvs', sentence, video['segments'])
            weights = cosines * (-self.log_temperature).exp()
            weights = weights.masked_fill(padding, float('-inf')).softmax(dim=-1)
            scores.append((weights * cosines).sum(dim=-1))
        return torch.cat(scores)
