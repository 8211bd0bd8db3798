"""The sigmoid loss of SigLIP."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.errors import check_number


@MODELS.register_module()
class SigmoidLoss(nn.Module):
    r"""Classify each combination of caption and video as a pair or not.

    SigLIP (arXiv 2303.15343), Eq. 1 and Alg. 1. Of N captions and N videos with logits
    :math:`l_{ij}`

    .. math::
        -\frac{1}{N} \sum_i \sum_j \log \sigma(z_{ij} l_{ij}),

    where :math:`z_{ij}` is 1 for a pair and -1 else: a sum over N x N decisions,
    divided by the number of pairs N, not of decisions. N counts the pairs of all
    processes.

    Of ``repeats``, pairs whose video or caption another pair has too, nothing is
    decided: they are left out of the sum, as in :class:`SymmetricInfoNCELoss`.

    Of the N decisions of a caption one is positive, so the logits need an offset, the
    head's ``init_logit_bias``. SigLIP starts from ``init_logit_bias=-10`` and
    ``init_logit_scale=math.log(10)``.

    Args:
        loss_weight (float): Weight of the loss.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models import SigmoidLoss
        >>> logits = torch.tensor([[2., -9.], [-9., 2.]])
        >>> {name: round(x.item(), 3) for name, x in SigmoidLoss()(logits).items()}
        {'loss_sigmoid': 0.127}
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = check_number(f'{type(self).__name__}: loss_weight',
                                        loss_weight, lambda x: x >= 0, 'at least 0')

    def forward(self, logits: Tensor,
                repeats: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the loss."""
        signs = 2 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1
        losses = -F.logsigmoid(signs * logits)
        if repeats is not None:
            losses = losses.masked_fill(repeats, 0)
        return dict(loss_sigmoid=self.loss_weight * losses.sum() / len(logits))
