"""The clusterings as operators that ``torch.compile`` takes as they are.

Their loops end when no medoid moves, which a compiler cannot know. As
operators of torch they stand in the graph whole, so that a tower with necks
is one graph, without a break.
"""
from typing import Optional, Tuple  # noqa: UP035

import torch
from torch import Tensor

from .kmedoids import kmedoids
from .spectral import spectral_clustering

__all__ = ['kmedoids_operator', 'spectral_operator']


# torch reads the schema from the annotations; its older versions know those of
# typing only.
@torch.library.custom_op('mmaction_centerclip::kmedoids', mutates_args=())
def kmedoids_operator(tokens: Tensor, num_centers: int, distance: str,
                      p: float, pre_norm: bool, max_iters: int, tol: float,
                      backend: str,
                      valid: Optional[Tensor]) -> Tuple[Tensor, Tensor]:  # noqa: UP006, UP045
    """:func:`kmedoids` of detached tokens, as an operator."""
    return kmedoids(
        tokens,
        num_centers,
        distance=distance,
        p=p,
        pre_norm=pre_norm,
        max_iters=max_iters,
        tol=tol,
        backend=backend,
        valid=valid)


@torch.library.custom_op('mmaction_centerclip::spectral_clustering',
                         mutates_args=())
def spectral_operator(tokens: Tensor, num_centers: int, graph: str,
                      sigma: float, auto_sigma: bool, knn: int, p: float,
                      max_iters: int, tol: float, solver: str,
                      locality: Optional[Tensor]) -> Tuple[Tensor, Tensor]:  # noqa: UP006, UP045
    """:func:`spectral_clustering` of detached tokens, as an operator."""
    return spectral_clustering(
        tokens,
        num_centers,
        graph=graph,
        sigma='auto' if auto_sigma else sigma,
        knn=knn,
        p=p,
        max_iters=max_iters,
        tol=tol,
        solver=solver,
        locality=locality)


def _decision_like(tokens: Tensor, num_centers: int,
                   *options) -> tuple[Tensor, Tensor]:
    batch, count, _ = tokens.shape
    return (tokens.new_empty((batch, num_centers), dtype=torch.int64),
            tokens.new_empty((batch, count), dtype=torch.int64))


kmedoids_operator.register_fake(_decision_like)
spectral_operator.register_fake(_decision_like)
