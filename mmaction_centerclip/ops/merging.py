"""Averages of tokens: over the frames of a segment, over a cluster."""
from torch import Tensor

__all__ = ['cluster_mean', 'segment_mean_pooling']


def segment_mean_pooling(tokens: Tensor, num_segments: int) -> Tensor:
    """Average each position over the frames of its segment.

    Args:
        tokens (Tensor): Shape (B, T, N, C).
        num_segments (int): Segments S, a divisor of T.

    Returns:
        Tensor: Shape (B, S, N, C).

    Raises:
        ValueError: If ``num_segments`` does not divide T.
    """
    frames = tokens.shape[1]
    if num_segments < 1 or frames % num_segments:
        raise ValueError(f'num_segments must divide the {frames} frames, got '
                         f'{num_segments!r}')
    return tokens.unflatten(1, (num_segments, -1)).mean(dim=2)


def cluster_mean(tokens: Tensor,
                 assignment: Tensor,
                 num_centers: int,
                 weights: Tensor | None = None) -> Tensor:
    """Average the tokens of each cluster; gradients flow to all of them.

    Args:
        tokens (Tensor): Shape (B, N, C).
        assignment (Tensor): Cluster of each token, int64 (B, N) in [0, K).
        num_centers (int): K; every cluster has a token.
        weights (Tensor, optional): Of the tokens, shape (B, N); a cluster
            whose weights are all zero averages evenly. Defaults to None.

    Returns:
        Tensor: Shape (B, K, C).
    """
    if weights is None:
        weights = tokens.new_ones(tokens.shape[:2])
    else:
        total = tokens.new_zeros(len(tokens), num_centers).scatter_add_(
            1, assignment, weights.to(tokens.dtype))
        weights = weights.to(tokens.dtype) + (
            total.gather(1, assignment) == 0).to(tokens.dtype)
    total = tokens.new_zeros(len(tokens), num_centers).scatter_add_(
        1, assignment, weights)
    share = weights / total.gather(1, assignment)
    sums = tokens.new_zeros(len(tokens), num_centers, tokens.shape[-1])
    index = assignment[..., None].expand_as(tokens)
    return sums.scatter_add(1, index, tokens * share[..., None])
