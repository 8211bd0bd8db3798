"""CLIP4Clip's parameter-free similarity: the mean of the frames."""
from mmaction.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.ops import mask_or_all

from .base import SimilarityHead


@MODELS.register_module()
class MeanPoolingHead(SimilarityHead):
    """Cosine similarity of a caption and the mean of a video's segments.

    CLIP4Clip (arXiv 2104.08860), Sec. 3.3.1, parameter-free type. Each segment's
    feature has unit length before it is averaged, and so has the mean after it.
    Separable: a video is one vector.
    """
    separable = True

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return the pooled ``video`` (B, E), of unit length.

        A video without a valid segment is the mean of all its segments.
        """
        segments = F.normalize(segments.float(), dim=-1)
        frame_mask = mask_or_all(frame_mask)[..., None]
        weights = frame_mask / frame_mask.sum(dim=1, keepdim=True)
        return dict(video=F.normalize((segments * weights).sum(dim=1), dim=-1))

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        return dict(text=F.normalize(text.sentence.float(), dim=-1))

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        return text['text'] @ video['video'].T
