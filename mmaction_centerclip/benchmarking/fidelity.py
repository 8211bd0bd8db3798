"""Measure how far a reducer moves the features of videos."""
import torch
import torch.nn.functional as F
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_positive_int

__all__ = ['fidelity', 'neighbor_agreement']


def fidelity(reduced: Tensor, whole: Tensor, neighbors: int = 10) -> dict[str, float]:
    """Compare features (videos, E) of the same videos with and without a reducer.

    Returns:
        dict[str, float]: ``cosine``, the mean over the videos, and, of more videos
        than neighbours, :func:`neighbor_agreement` as ``neighbors``, in per cent.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.benchmarking import fidelity
        >>> features = torch.eye(12)
        >>> fidelity(2 * features, features)
        {'cosine': 1.0, 'neighbors': 100.0}
    """
    if reduced.shape != whole.shape or whole.ndim != 2:
        raise InputError('features with and without a reducer must be of one shape '
                         f'(videos, E), got {tuple(reduced.shape)} and '
                         f'{tuple(whole.shape)}')
    if not (reduced.isfinite().all() and whole.isfinite().all()):
        raise InputError('features of videos must be finite, got NaN or infinity')
    cosine = F.cosine_similarity(reduced.double(), whole.double()).mean().item()
    if len(whole) <= neighbors:
        return dict(cosine=cosine)
    return dict(cosine=cosine, neighbors=neighbor_agreement(reduced, whole, neighbors))


def neighbor_agreement(reduced: Tensor, whole: Tensor, neighbors: int = 10) -> float:
    """Return how many of a video's nearest neighbours stay, in per cent.

    Neighbours are the other videos of the largest cosines, those of the reduced
    features (videos, E) among the reduced; of equal ones the first.
    """
    check_positive_int('neighbors', neighbors)
    if len(whole) <= neighbors:
        raise InputError(f'{neighbors} nearest neighbours need at least '
                         f'{neighbors + 1} videos, got {len(whole)}')
    found = []
    for features in (reduced, whole):
        unit = F.normalize(features.double(), dim=-1)
        similarity = (unit @ unit.T).fill_diagonal_(-torch.inf)
        order = similarity.argsort(dim=-1, descending=True, stable=True)
        mask = torch.zeros_like(similarity, dtype=torch.bool)
        found.append(mask.scatter_(1, order[:, :neighbors], True))
    return 100 * (found[0] & found[1]).sum().item() / (neighbors * len(whole))
