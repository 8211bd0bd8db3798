"""What all similarity heads share: their parts, scale and loss."""
import math
from abc import ABCMeta, abstractmethod

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower, TextFeatures
from mmaction_centerclip.models.utils import gather_with_grad

__all__ = ['SimilarityHead', 'check_positive', 'counted']


class SimilarityHead(BaseModule, metaclass=ABCMeta):
    """Similarity of captions and videos, and the loss on it.

    A head keeps of a video and of a caption what it needs to compare them,
    as a dict of tensors whose first dimension counts videos or captions, so
    that each is encoded once and compared with many.

    Args:
        loss (dict, optional): The loss on scaled similarities. Defaults to
            None: ``dict(type='SymmetricInfoNCELoss')``.
        init_logit_scale (float): Start of the learned logarithm of the
            scale; pretrained weights overwrite it. Defaults to ln(1 / 0.07).
        freeze_logit_scale (bool): Whether to keep the scale where it starts
            (within the range of ``ClampLogitScaleHook``). Defaults to False.
        init_cfg (dict, optional): Initialisation config. Defaults to None.
    """
    separable = False
    """Whether a video is one vector, ``video``, compared by a product with a
    caption's, ``text``; an index can hold such videos."""
    embed_dims: int | None = None
    """Width of the features that it takes; None for any."""
    cosine = True
    """Whether similarities are from -1 to 1, as the dual softmax needs."""

    def __init__(self,
                 loss: dict | None = None,
                 init_logit_scale: float = math.log(1 / 0.07),
                 freeze_logit_scale: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(
            loss or dict(type='SymmetricInfoNCELoss'))
        self.logit_scale = nn.Parameter(
            torch.tensor(float(init_logit_scale)),
            requires_grad=not freeze_logit_scale)

    def init_from_text_tower(self,
                             tower: CLIPTextTower,
                             positions: Tensor | None = None) -> None:
        """Start the head's own weights from those of CLIP's text tower.

        Called once the pretrained weights are loaded, unless they hold those
        of a head. Does nothing unless a head has such weights.

        Args:
            tower (CLIPTextTower): With pretrained weights.
            positions (Tensor, optional): All pretrained positions, shape
                (L, E), of which the tower may have kept the first.
                Defaults to None: the tower's.
        """

    @abstractmethod
    def video_features(self, segments: Tensor,
                       mask: Tensor) -> dict[str, Tensor]:
        """What to keep of videos.

        Args:
            segments (Tensor): Features of segments, shape (B, S, E).
            mask (Tensor): Bool (B, S), True where a segment is real.

        Returns:
            dict[str, Tensor]: Tensors (B, ...), float32 or bool.
        """

    @abstractmethod
    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        """What to keep of captions.

        Args:
            text (TextFeatures): Of B captions.

        Returns:
            dict[str, Tensor]: Tensors (B, ...), float32 or bool, under other
            names than those of :meth:`video_features`.
        """

    @abstractmethod
    def similarity(self, text: dict[str, Tensor],
                   video: dict[str, Tensor]) -> Tensor:
        """Similarities (texts, videos) of all pairs, without the scale.

        In the dtype of the features and of the head's own weights, which an
        evaluation converts to float64.

        Args:
            text (dict[str, Tensor]): From :meth:`text_features`.
            video (dict[str, Tensor]): From :meth:`video_features`.
        """

    def logits(self, text: dict[str, Tensor],
               video: dict[str, Tensor]) -> Tensor:
        """What the loss compares, shape (texts, videos).

        Args:
            text (dict[str, Tensor]): From :meth:`text_features`.
            video (dict[str, Tensor]): From :meth:`video_features`.
        """
        return self.logit_scale.exp() * self.similarity(text, video)

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
            text = TextFeatures(text.sentence.float(), text.words.float(),
                                text.mask)
            video = self.video_features(segments.float(), mask)
            logits = self.logits(
                _gather(self.text_features(text)), _gather(video))
            losses = self.loss_module(logits)
        return dict(losses, logit_scale=self.logit_scale.detach())


def _gather(features: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: gather_with_grad(x) for name, x in features.items()}


def check_positive(head: nn.Module, **options: int) -> None:
    """Raise an InputError unless all options are positive integers."""
    for name, value in options.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f'{type(head).__name__}: {name} must be a '
                             f'positive integer, got {value!r}')


def counted(mask: Tensor) -> Tensor:
    """The mask (B, L), with all places of a row that has none, bool (B, L)."""
    return mask | ~mask.any(dim=1, keepdim=True)
