"""The base class of similarity heads: their scale, loss and methods."""
import inspect
import math
from abc import ABCMeta, abstractmethod
from typing import Annotated

import torch
from mmaction.registry import MODELS
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower, TextFeatures
from mmaction_centerclip.ops import repeated_pairs

INIT_LOGIT_SCALE = math.log(1 / 0.07)  # CLIP's
LogScale = Annotated[float, (lambda x: x <= math.log(1000),
                             'the logarithm of a scale of at most 1000')]
LogitBias = Annotated[float, (lambda x: abs(x) <= 1000, 'from -1000 to 1000')]


class SimilarityHead(BaseModule, metaclass=ABCMeta):
    """Compare captions with videos, and compute the loss on that.

    A head turns videos, and captions, into dicts of tensors to compare later, whose
    first dimension counts them: each is encoded once and compared with many.

    Args:
        loss (dict, optional): On scaled similarities. None: ``SymmetricInfoNCELoss``.
        init_logit_scale (float): Start of the learned logarithm of the scale;
            pretrained weights overwrite it.
        freeze_logit_scale (bool): Whether to keep the scale where it starts (within the
            range of ``ClampLogitScaleHook``).
        init_logit_bias (float, optional): Start of a learned number that the loss adds
            to all logits, for :class:`SigmoidLoss`.
    """
    separable = False
    """True where a video is one vector, ``video``, compared by a product with a
    caption's, ``text``; an index can hold such videos."""
    embed_dims: int | None = None
    """Width of the features that it takes; None for any."""
    cosine = True
    """True where similarities are from -1 to 1, as the dual softmax needs."""

    without_export = ''
    """Why a separable head cannot be exported, if so, for messages."""

    def __init__(
        self, loss: dict | None = None, init_logit_scale: LogScale = INIT_LOGIT_SCALE,
        freeze_logit_scale: bool = False, init_logit_bias: LogitBias | None = None,
        init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.loss_module = build_loss(
            dict(type='SymmetricInfoNCELoss') if loss is None else loss)
        self._takes_repeats = 'repeats' in inspect.signature(
            self.loss_module.forward).parameters
        if not self._takes_repeats:
            print_log(f'{type(self.loss_module).__name__}.forward takes no repeats: '
                      'pairs that repeat a video or a caption are negatives', 'current')
        self.logit_scale = nn.Parameter(torch.tensor(float(init_logit_scale)),
                                        requires_grad=not freeze_logit_scale)
        bias = None
        if init_logit_bias is not None:
            bias = nn.Parameter(torch.tensor(float(init_logit_bias)))
        self.register_parameter('logit_bias', bias)

    def init_from_text_tower(self, tower: CLIPTextTower,
                             positions: Tensor | None = None) -> None:
        """Start the head's own weights, if any, from those of CLIP's text tower.

        Called once the pretrained weights are loaded, unless they hold those of a head.
        ``positions`` (L, E) are all pretrained ones; the tower may have kept the first.
        """

    @abstractmethod
    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Turn segments (B, S, E) into tensors (B, ...), float32 or bool.

        The mask (B, S) is True where a segment is real; all count where none of a video
        is.
        """

    @abstractmethod
    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        """Turn captions into tensors (B, ...), under other names than videos'."""

    @abstractmethod
    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        """Return similarities (texts, videos) of all pairs, without the scale.

        In the dtype of features and weights, which an evaluation converts to float64.
        """

    def logits(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        """Return scaled and shifted similarities (texts, videos) for the loss."""
        return self.add_bias(self.logit_scale.exp() * self.similarity(text, video))

    def add_bias(self, logits: Tensor) -> Tensor:
        """Add the learned ``logit_bias``, where there is one."""
        return logits if self.logit_bias is None else logits + self.logit_bias

    def loss(self, segments: Tensor, frame_mask: Tensor, text: TextFeatures,
             pair_ids: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss of pairs, over the batches of all processes.

        Of segments (B, S, E), their mask (B, S), B captions, and ``pair_ids``, int64
        (B, 2), the numbers of each pair's video and caption, see
        :func:`repeated_pairs`. Also returns what is learned of the scale, to log.
        """
        return self.pair_loss(*self.pair_features(segments, frame_mask, text), pair_ids)

    def pair_features(self, segments: Tensor, frame_mask: Tensor, text: TextFeatures
                      ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return captions and videos of all processes as :meth:`similarity` takes them.

        In float32, whatever the segments (B, S, E) are.
        """
        with torch.autocast(segments.device.type, enabled=False):
            text = text._replace(
                sentence=text.sentence.float(), words=text.words.float())
            features = (self.text_features(text),
                        self.video_features(segments.float(), frame_mask))
            text, video = ({name: gather_with_grad(x) for name, x in each.items()}
                           for each in features)
        return text, video

    def pair_loss(self, text: dict[str, Tensor], video: dict[str, Tensor],
                  pair_ids: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss of :meth:`pair_features`; ``pair_ids`` are this process's.
        """
        # In float32: a bfloat16 logit near 100 is a multiple of 0.5.
        with torch.autocast(self.logit_scale.device.type, enabled=False):
            logits = self.logits(text, video)
        if len(logits) < 2:
            raise InputError('the contrastive loss needs a batch of at least 2 '
                             f'pairs, got {len(logits)}; raise batch_size')
        arguments = [logits]
        if pair_ids is not None and self._takes_repeats:
            arguments.append(repeated_pairs(gather_with_grad(pair_ids)))
        losses = dict(self.loss_module(*arguments),
                      logit_scale=self.logit_scale.detach())
        if self.logit_bias is not None:
            losses['logit_bias'] = self.logit_bias.detach()
        return losses


def build_loss(config: dict) -> nn.Module:
    """Build a loss, and see that it is one of similarities."""
    if 'type' not in config:
        raise InputError(f'loss must be a config with its type, got {config!r}')
    loss = MODELS.build(config)
    try:
        terms = loss(torch.eye(2))
    except TypeError as error:
        raise InputError(f"loss: {config['type']!r} is none of similarities: "
                         f'{error}') from error
    if not isinstance(terms, dict):
        raise InputError(f"loss: {config['type']!r} must return a dict of loss terms, "
                         f'got {type(terms).__name__}')
    return loss


class _GatherWithGrad(torch.autograd.Function):

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        ctx.batch_size = len(tensor)
        return torch.cat(all_gather(tensor.contiguous()))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        # Every process computes the whole loss. Summing over processes and
        # the mean that DDP takes afterwards give the gradient of that loss
        # once; keeping the local slice alone would divide it by their number.
        grad = grad.contiguous()
        all_reduce(grad)
        return grad.narrow(0, get_rank() * ctx.batch_size, ctx.batch_size)


def gather_with_grad(tensor: Tensor) -> Tensor:
    """Concatenate a tensor over all processes, along its first dimension.

    If every process computes the loss on that, and gradients are averaged as by DDP,
    they are those of one process on the global batch.
    """
    if get_world_size() == 1:
        return tensor
    if tensor.dtype == torch.bool:
        # Not every backend has bool.
        return torch.cat(all_gather(tensor.to(torch.uint8))).bool()
    return _GatherWithGrad.apply(tensor)
