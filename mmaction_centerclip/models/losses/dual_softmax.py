"""InfoNCE whose logits are revised by the other direction's softmax."""
from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import check_number

from .infonce import SymmetricInfoNCELoss


@MODELS.register_module()
class DualSoftmaxLoss(SymmetricInfoNCELoss):
    r"""InfoNCE on logits times their softmax over the other dimension.

    CAMoE (arXiv 2109.04290), dual softmax loss. A pair's logit counts as much as the
    pair is likely in the other direction too. Of N pairs with logits :math:`l_{ij}` of
    text i and video j, text to video compares within a row

    .. math::
        l_{ij} \cdot N \cdot \frac{\exp(\tau l_{ij})}{\sum_k \exp(\tau l_{kj})}

    and video to text the same of the transposed logits. The gradient goes through both
    factors. Repeats, see the base class, are candidates in neither direction, and N is
    the number of those that are left.

    The temperature :math:`\tau` multiplies the similarities, here after
    ``logit_scale``: 1 makes the factor the probability of the other direction, with
    which a likely pair's logit grows up to N times and the gradient is gone; towards 0
    the loss becomes InfoNCE. The N, the number of candidates that share a unit of
    probability, is not in the paper but in common implementations, so that the mean of
    the factor is 1.

    Args:
        loss_weight (float): Weight of the total.
        label_smoothing (float): See :class:`SymmetricInfoNCELoss`.
        temperature (float): As above.
    """

    def __init__(self, loss_weight: float = 1.0, label_smoothing: float = 0.0,
                 temperature: float = 1e-3) -> None:
        super().__init__(loss_weight, label_smoothing)
        self.temperature = check_number(f'{type(self).__name__}: temperature',
                                        temperature, lambda x: x > 0, 'positive')

    def one_way(self, logits: Tensor, repeats: Tensor | None = None) -> Tensor:
        """Return half of the loss, see :class:`SymmetricInfoNCELoss`."""
        scaled, count = self.temperature * logits, len(logits)
        if repeats is not None:
            scaled = scaled.masked_fill(repeats, float('-inf'))
            count = (~repeats).sum(dim=0)
        return super().one_way(logits * scaled.softmax(dim=0) * count, repeats)
