"""Pairs of a batch that show the same video or say the same."""
import torch
from torch import Tensor


def repeated_pairs(ids: Tensor) -> Tensor:
    """Find which other pairs of a batch share something with a pair.

    Args:
        ids (Tensor): Integers (N, K): K things that each of N pairs consists of, such
            as its video and its caption. A negative one is not known, and like no
            other.

    Returns:
        Tensor: Bool (N, N), symmetric, True where two pairs have one of the K
        in common; False on the diagonal.

    Examples:
        >>> import torch
        >>> repeated_pairs(torch.tensor([[7, 1], [7, 2], [8, 3]])).tolist()
        [[False, True, False], [True, False, False], [False, False, False]]
    """
    same = (ids[:, None] == ids[None]) & (ids[:, None] >= 0)
    return same.any(dim=-1) & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
