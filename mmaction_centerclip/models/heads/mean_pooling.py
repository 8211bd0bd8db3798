"""CLIP4Clip's parameter-free similarity: the mean of the frames."""
import math

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.models.utils import gather_with_grad

__all__ = ['MeanPoolingHead']


@MODELS.register_module()
class MeanPoolingHead(BaseModule):
    """Cosine similarity of a caption and the mean of a video's segments.

    CLIP4Clip (arXiv 2104.08860), Sec. 3.3.1, parameter-free type. Each
    segment's feature has unit length before it is averaged, and so has the
    mean after it. Separable: a video is one vector.

    Args:
        loss (dict): The loss on scaled similarities.
            Defaults to ``dict(type='SymmetricInfoNCELoss')``.
        init_logit_scale (float): Start of the learned logarithm of the
            scale; pretrained weights overwrite it. Defaults to ln(1 / 0.07).
        init_cfg (dict, optional): Initialisation config. Defaults to None.
    """
    separable = True

    def __init__(self,
                 loss: dict | None = None,
                 init_logit_scale: float = math.log(1 / 0.07),
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(
            loss or dict(type='SymmetricInfoNCELoss'))
        self.logit_scale = nn.Parameter(torch.tensor(float(init_logit_scale)))

    def video_features(self, segments: Tensor, mask: Tensor) -> Tensor:
        """Pool segments (B, S, E) under a bool mask (B, S) to (B, E).

        A video without a valid segment is the mean of all its segments.
        """
        segments = F.normalize(segments.float(), dim=-1)
        mask = mask | ~mask.any(dim=1, keepdim=True)
        weights = mask[..., None] / mask.sum(dim=1)[:, None, None]
        return F.normalize((segments * weights).sum(dim=1), dim=-1)

    def text_features(self, text: TextFeatures) -> Tensor:
        """Sentence features of unit length, shape (B, E)."""
        return F.normalize(text.sentence.float(), dim=-1)

    def similarity(self, text: Tensor, video: Tensor) -> Tensor:
        """Cosine similarities (texts, videos) of pooled features."""
        return text @ video.T

    def loss(self, segments: Tensor, mask: Tensor,
             text: TextFeatures) -> dict[str, Tensor]:
        """The loss of a batch of pairs, over the batches of all processes.

        Args:
            segments (Tensor): Shape (B, S, E).
            mask (Tensor): Bool (B, S).
            text (TextFeatures): Of B captions, one a video.

        Returns:
            dict[str, Tensor]: The loss terms, and ``logit_scale`` to log.
        """
        # In float32: a bfloat16 logit near 100 is a multiple of 0.5.
        with torch.autocast(segments.device.type, enabled=False):
            video = gather_with_grad(self.video_features(segments, mask))
            texts = gather_with_grad(self.text_features(text))
            logits = self.logit_scale.exp() * self.similarity(texts, video)
            losses = self.loss_module(logits)
        return dict(losses, logit_scale=self.logit_scale.detach())
