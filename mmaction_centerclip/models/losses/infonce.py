"""The symmetric contrastive loss of CLIP."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.errors import check_number


@MODELS.register_module()
class SymmetricInfoNCELoss(nn.Module):
    """InfoNCE over the rows and over the columns of a similarity matrix.

    CLIP (arXiv 2103.00020), Fig. 3; CLIP4Clip (arXiv 2104.08860), Eq. 8 to 10. The
    total is the mean of the two directions.

    Where another pair of the batch has the same video or the same caption, it is no
    wrong answer. Such ``repeats`` are left out of the candidates (false negative
    elimination, arXiv 2011.11765) rather than made right answers too: each pair then
    counts once, and without repeats nothing changes.

    Args:
        loss_weight (float): Weight of the total.
        label_smoothing (float): Share of the target that is spread evenly over all
            candidates, the right one included, without repeats.
    """

    def __init__(self, loss_weight: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        name = type(self).__name__
        self.loss_weight = check_number(f'{name}: loss_weight', loss_weight,
                                        lambda x: x >= 0, 'at least 0')
        self.label_smoothing = check_number(
            f'{name}: label_smoothing', label_smoothing,
            lambda x: 0 <= x < 1, 'at least 0 and below 1')

    def forward(self, logits: Tensor,
                repeats: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the two halves of the loss.

        Args:
            logits (Tensor): Scaled similarities, shape (texts, videos), with the pairs
                on the diagonal.
            repeats (Tensor, optional): Bool (texts, videos), True where a caption and
                the video of another pair are no negatives, see :func:`repeated_pairs`.
                None: nowhere.

        Returns:
            dict[str, Tensor]: Scalars ``loss_t2v`` and ``loss_v2t``, which
            add up to the total.
        """
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
