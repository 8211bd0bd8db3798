"""The symmetric contrastive loss of CLIP."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ['SymmetricInfoNCELoss']


@MODELS.register_module()
class SymmetricInfoNCELoss(nn.Module):
    """InfoNCE over the rows and over the columns of a similarity matrix.

    CLIP (arXiv 2103.00020), Fig. 3; CLIP4Clip (arXiv 2104.08860), Eq. 8 to
    10. The total is the mean of the two directions.

    Args:
        loss_weight (float): Weight of the total. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        """Compute the two halves of the loss.

        Args:
            logits (Tensor): Scaled similarities, shape (texts, videos), with
                the pairs on the diagonal.

        Returns:
            dict[str, Tensor]: Scalars ``loss_t2v`` and ``loss_v2t``, which
            add up to the total.
        """
        target = torch.arange(len(logits), device=logits.device)
        weight = 0.5 * self.loss_weight
        return dict(
            loss_t2v=weight * F.cross_entropy(logits, target),
            loss_v2t=weight * F.cross_entropy(logits.T, target))
