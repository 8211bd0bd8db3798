"""How long patches of a video stay as they are (RLT, arXiv 2411.05222)."""
import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_number


@torch.no_grad()
def run_lengths(tokens: Tensor, threshold: float,
                frame_mask: Tensor | None = None) -> Tensor:
    """Return for how many frames each token stays, where it first appears.

    After Run-Length Tokenization (Sec. 3): a token goes on where it differs from the
    one at its place in the frame before by no more than a threshold. Here by the
    Euclidean distance, as a share of the norm of the one before, in float32 or more.

    Args:
        tokens (Tensor): Shape (B, F, N, C).
        threshold (float): At least 0, which only equal tokens do not exceed.
        frame_mask (Tensor, optional): True where a frame is real, bool (B, F). Tokens
            of other frames are dropped, and end what was before. None: all are.

    Returns:
        Tensor: Int64 (B, F, N): F or less; 0 where a token goes on.

    Examples:
        >>> tokens = torch.tensor([1., 1, 1, 5, 5]).view(1, 5, 1, 1)
        >>> run_lengths(tokens, 0.1).flatten().tolist()
        [3, 0, 0, 2, 0]
    """
    check_threshold(threshold)
    if tokens.ndim != 4 or not tokens.is_floating_point():
        raise InputError('tokens must be a floating point tensor of shape '
                         f'(B, F, N, C), got {tokens.dtype} of {tuple(tokens.shape)}')
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    before = tokens[:, :-1].norm(dim=-1)
    new = tokens.new_ones(tokens.shape[:3], dtype=torch.bool)
    new[:, 1:] = (tokens[:, 1:] - tokens[:, :-1]).norm(dim=-1) > threshold * before
    real = torch.ones_like(new)
    if frame_mask is not None:
        real = frame_mask[..., None].expand_as(new)
        new[:, 1:] |= ~real[:, :-1]
        new &= real
    run = (new.cumsum(dim=1) - 1).clamp(min=0)
    lengths = torch.zeros_like(run).scatter_add_(1, run, real.long())
    return lengths.gather(1, run) * new


@torch.no_grad()
def pack(size: Tensor) -> Tensor:
    """Return the tokens that stand for something, then others as padding.

    Args:
        size (Tensor): What tokens stand for, int64 (B, L); 0 for nothing.

    Returns:
        Tensor: Indices, int64 (B, K), of the K that the fullest row needs;
        each row's tokens of a size above 0 first, ascending.

    Examples:
        >>> pack(torch.tensor([[3, 0, 1, 0], [0, 2, 0, 0]]))
        tensor([[0, 2],
                [1, 0]])
    """
    empty = size == 0
    longest = int((~empty).sum(dim=1).max())
    return empty.to(torch.int8).argsort(dim=1, stable=True)[:, :longest]


def check_threshold(threshold: float) -> None:
    """Raise an InputError unless it is a threshold of :func:`run_lengths`."""
    check_number('threshold', threshold, lambda x: x >= 0, 'at least 0')
