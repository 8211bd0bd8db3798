"""Choose tokens without looking at them."""
import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError


def sparse_sampling(num_tokens: int, num_centers: int, num_segments: int = 1, *,
                    training: bool = False, generator: torch.Generator | None = None,
                    device: torch.device | str | None = None) -> Tensor:
    """Indices of tokens to keep (CenterCLIP, arXiv 2205.00823, Sec. 4.4).

    In evaluation one from each of K equal steps, floor(step / 2 + step * i). In
    training K at random, the same for the whole batch and different per segment.

    Args:
        num_tokens (int): N.
        num_centers (int): K, from 1 to N.
        num_segments (int): S.
        training (bool): Whether to draw at random.
        generator (torch.Generator, optional): Of the random draws, on the CPU. None:
            the global one.
        device (torch.device | str, optional): Of the result. None: the CPU.

    Returns:
        Tensor: Ascending indices, int64 (S, K).
    """
    if not 1 <= num_centers <= num_tokens:
        raise InputError(f'num_centers must be from 1 to the {num_tokens} tokens'
                         f', got {num_centers!r}')
    if training:
        order = torch.rand(num_segments, num_tokens, generator=generator)
        indices = order.topk(num_centers).indices.sort(dim=-1).values
    else:
        steps = torch.arange(num_centers, dtype=torch.float64)
        step = num_tokens / num_centers
        indices = (step / 2 + step * steps).floor().long().repeat(num_segments, 1)
    return indices.to(device)
