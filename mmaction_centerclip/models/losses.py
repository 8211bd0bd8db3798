"""Contrastive losses: symmetric InfoNCE, dual softmax, sigmoid."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.utils.option_types import NotNegative, Positive, Share


@MODELS.register_module()
class SymmetricInfoNCELoss(nn.Module):
    """InfoNCE over the rows and over the columns of a similarity matrix.

    CLIP (arXiv 2103.00020), Fig. 3; CLIP4Clip (arXiv 2104.08860), Eq. 8 to 10: the mean
    of the two directions. ``repeats``, other pairs with the same video or caption, are
    left out of the candidates (false negative elimination, arXiv 2011.11765) rather
    than made right answers too: each pair then counts once. ``label_smoothing`` is the
    share of the target spread evenly over all candidates, the right one included.
    """

    def __init__(self, loss_weight: NotNegative = 1.0,
                 label_smoothing: Share = 0.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor,
                repeats: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the two halves of the loss of scaled similarities (texts, videos)."""
        if repeats is None:
            return dict(loss_t2v=self.one_way(logits), loss_v2t=self.one_way(logits.T))
        return dict(loss_t2v=self.one_way(logits, repeats),
                    loss_v2t=self.one_way(logits.T, repeats.T))

    def one_way(self, logits: Tensor, repeats: Tensor | None = None) -> Tensor:
        """Return half of the loss, in which the columns compete for each row."""
        target = torch.arange(len(logits), device=logits.device)
        if repeats is not None:
            logits = logits.masked_fill(repeats, float('-inf'))
        if repeats is None or not self.label_smoothing or not repeats.any():
            loss = F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
        else:
            # torch's own would spread the target over what is left out, too.
            losses = -logits.log_softmax(dim=-1).masked_fill(repeats, 0)
            spread = losses.sum(dim=-1) / (~repeats).sum(dim=-1)
            loss = torch.lerp(losses.diagonal(), spread, self.label_smoothing).mean()
        return 0.5 * self.loss_weight * loss


@MODELS.register_module()
class DualSoftmaxLoss(SymmetricInfoNCELoss):
    r"""InfoNCE on logits times their softmax over the other dimension.

    CAMoE (arXiv 2109.04290), dual softmax loss. A pair's logit counts as much as the
    pair is likely in the other direction too. Of N pairs with logits :math:`l_{ij}` of
    text i and video j, text to video compares within a row

    .. math::
        l_{ij} \cdot N \cdot \frac{\exp(\tau l_{ij})}{\sum_k \exp(\tau l_{kj})}

    and video to text the same of the transposed logits. The gradient goes through both
    factors. ``repeats`` are candidates in neither direction, and not counted in N,
    which is not in the paper but in common implementations: the mean of the factor is
    1. The ``temperature`` :math:`\tau` multiplies the similarities behind
    ``logit_scale``: with 1 the gradient is gone where pairs are likely; towards 0 the
    loss becomes InfoNCE.
    """

    def __init__(self, loss_weight: NotNegative = 1.0, label_smoothing: Share = 0.0,
                 temperature: Positive = 1e-3) -> None:
        super().__init__(loss_weight, label_smoothing)
        self.temperature = temperature

    def one_way(self, logits: Tensor, repeats: Tensor | None = None) -> Tensor:
        """Return half of the loss, see :class:`SymmetricInfoNCELoss`."""
        scaled, count = self.temperature * logits, len(logits)
        if repeats is not None:
            scaled = scaled.masked_fill(repeats, float('-inf'))
            count = (~repeats).sum(dim=0)
        return super().one_way(logits * scaled.softmax(dim=0) * count, repeats)


@MODELS.register_module()
class SigmoidLoss(nn.Module):
    r"""Classify each combination of caption and video as a pair or not.

    SigLIP (arXiv 2303.15343), Eq. 1 and Alg. 1. Of N captions and N videos, of all
    processes, with logits :math:`l_{ij}`

    .. math::
        -\frac{1}{N} \sum_i \sum_j \log \sigma(z_{ij} l_{ij}),

    where :math:`z_{ij}` is 1 for a pair and -1 else. ``repeats`` are left out of the
    sum, as in :class:`SymmetricInfoNCELoss`. Of the N decisions of a caption one is
    positive, so the logits need an offset: SigLIP starts from the head's
    ``init_logit_bias=-10`` and ``init_logit_scale=math.log(10)``.
    """

    def __init__(self, loss_weight: NotNegative = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor,
                repeats: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss."""
        signs = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1
        losses = -F.logsigmoid(signs * logits)
        if repeats is not None:
            losses = losses.masked_fill(repeats, 0)
        return dict(loss_sigmoid=self.loss_weight * losses.sum() / len(logits))
