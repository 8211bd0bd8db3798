"""Means and sums over clusters of tokens."""
from torch import Tensor


def cluster_mean(tokens: Tensor, assignment: Tensor, num_centers: int,
                 weights: Tensor | None = None) -> Tensor:
    """Average the tokens of each cluster; gradients flow to all of them.

    Args:
        tokens (Tensor): Shape (B, N, C).
        assignment (Tensor): Cluster of each token, int64 (B, N) in [0, K).
        num_centers (int): K; every cluster has a token.
        weights (Tensor, optional): Of the tokens, shape (B, N); a cluster whose weights
            are all zero averages evenly.

    Returns:
        Tensor: Shape (B, K, C).
    """
    if weights is None:
        weights = tokens.new_ones(tokens.shape[:2])
    else:
        weights = weights.to(tokens.dtype)
        total = cluster_sum(weights, assignment, num_centers)
        weights = weights + (total.gather(1, assignment) == 0).to(tokens.dtype)
    total = cluster_sum(weights, assignment, num_centers)
    share = weights / total.gather(1, assignment)
    sums = tokens.new_zeros(len(tokens), num_centers, tokens.shape[-1])
    index = assignment[..., None].expand_as(tokens)
    return sums.scatter_add(1, index, tokens * share[..., None])


def cluster_sum(values: Tensor, assignment: Tensor, num_centers: int) -> Tensor:
    """Sum the tokens' values (B, N) of each cluster to (B, K), in their dtype.

    The assignment is that of :func:`cluster_mean`.
    """
    sums = values.new_zeros(len(values), num_centers)
    return sums.scatter_add_(1, assignment, values)
