"""Bottom-up clustering of tokens (ATC, arXiv 2409.11923)."""
from typing import Optional, Tuple  # noqa: UP035

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import squareform
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mmaction_centerclip.errors import InputError, check_choice

from .distances import DISTANCES, assign, pairwise_distances, update
from .kmedoids import check_problem, decision_like

LINKAGES = ('single', 'complete', 'average', 'ward')


def agglomerative(tokens: Tensor, num_centers: int, *, linkage: str = 'average',
                  distance: str = 'cosine',
                  valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Join the two nearest clusters of tokens until ``num_centers`` are left.

    ATC (Agglomerative Token Clustering, arXiv 2409.11923, Sec. 3). By
    ``scipy.cluster.hierarchy``, on the CPU, one problem at a time, in float64 on
    distances of float32. ``linkage`` is ``'single'``, ``'complete'``, ``'average'``, or
    ``'ward'``, which is not the paper's, and for Euclidean distances only. A medoid has
    the smallest sum of distances to the others of its cluster. Arguments and result are
    else those of :func:`kmedoids`.

    Examples:
        >>> tokens = torch.tensor([[[0.], [1], [2], [10], [11], [12]]])
        >>> agglomerative(tokens, 2, distance='euclidean')
        (tensor([[1, 4]]), tensor([[0, 0, 0, 1, 1, 1]]))
    """
    check_problem(tokens, num_centers)
    check_choice('linkage', linkage, LINKAGES)
    check_choice('distance', distance, DISTANCES)
    if linkage == 'ward' and distance != 'euclidean':
        raise InputError("linkage='ward' is for distance='euclidean', got "
                         f'{distance!r}')
    return _agglomerative(tokens.detach(), num_centers, valid, linkage, distance)


# An operator of torch, as k-medoids is: a compiler cannot see into scipy.
@torch.library.custom_op('mmaction_centerclip::agglomerative', mutates_args=())
def _agglomerative(tokens: Tensor, num_centers: int,
                   valid: Optional[Tensor],  # noqa: UP045
                   linkage: str, distance: str
                   ) -> Tuple[Tensor, Tensor]:  # noqa: UP006
    # Tokens that overflowed upstream must not break the invariants.
    distances = pairwise_distances(tokens, distance).nan_to_num(0)
    matrices = distances.cpu().double().numpy()
    masks = [None] * len(tokens) if valid is None else valid.cpu().numpy()
    labels = np.stack([_labels(*problem, num_centers, linkage)
                       for problem in zip(matrices, masks)])
    labels = torch.from_numpy(labels).to(tokens.device)
    member = labels >= 0
    shape = labels.new_empty(len(tokens), num_centers)
    # Padding without a label counts in no sum, and may have any.
    medoids = update(distances, labels.clamp(min=0), shape,
                     None if valid is None else member)
    medoids, order = medoids.sort(dim=1)
    assignment = order.argsort(dim=1).gather(1, labels.clamp(min=0))
    if valid is not None:
        assignment = assignment.where(member, assign(distances, medoids))
    return medoids, assignment


def _labels(distances: np.ndarray, valid: np.ndarray | None, num_centers: int,
            linkage: str) -> np.ndarray:
    """Return each token's cluster, int64 (N, ) below K; -1 where it has none."""
    tokens = np.arange(len(distances))
    if valid is not None:
        tokens = np.concatenate([tokens[valid], tokens[~valid]])
        tokens = np.sort(tokens[:max(valid.sum(), num_centers)])
        distances = distances[np.ix_(tokens, tokens)]
    count = len(tokens)
    # The cluster that each one becomes a part of; merge i makes cluster N + i.
    parents = np.arange(2 * count - num_centers)
    if num_centers < count:
        merges = scipy_linkage(squareform(distances, checks=False), linkage)
        merges = merges[:count - num_centers, :2].astype(np.int64)
        for i in reversed(range(len(merges))):
            parents[merges[i]] = parents[count + i]
    labels = np.full(len(valid) if valid is not None else count, -1)
    labels[tokens] = np.unique(parents[:count], return_inverse=True)[1]
    return labels


_agglomerative.register_fake(decision_like)


@register_flop_formula(torch.ops.mmaction_centerclip.agglomerative)
def _count_flops(tokens_shape: torch.Size, num_centers: int, *options: object,
                 **kwargs: object) -> int:
    """Count the matrix product of the distances, two a multiply-add."""
    batch, count, width = tokens_shape
    return 2 * batch * count**2 * width
