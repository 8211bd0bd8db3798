"""Cut videos into segments where their frames change most."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError


@torch.no_grad()
def frame_changes(tokens: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Return how much each frame differs from the one before.

    1 - cos of the means of their tokens, in float32 or more.
    """
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    means = tokens.mean(dim=2, dtype=dtype)
    similarity = F.cosine_similarity(means[:, 1:], means[:, :-1], dim=-1)
    changes = (1 - similarity).clamp(min=0)
    if frame_mask is not None:
        changes = changes * (frame_mask[:, 1:] & frame_mask[:, :-1])
    return changes


@torch.no_grad()
def cut_at_changes(changes: Tensor, num_segments: int, shortest: int,
                   longest: int | Tensor, count: Tensor | None = None
                   ) -> tuple[Tensor, Tensor]:
    """Choose the cuts at which frames change most in all.

    By dynamic programming over the number of segments. Of cuts that are equally good to
    six digits, those whose lengths are most even.

    Args:
        changes (Tensor): From each frame to the next, shape (B, T - 1).
        num_segments (int): S.
        shortest (int): Frames that a segment has at least.
        longest (int | Tensor): Frames that a segment has at most, of all videos or
            int64 (B, ) of each.
        count (Tensor, optional): How many frames to cut, from the first, int64 (B, ).
            None: all T.

    Returns:
        tuple[Tensor, Tensor]: The first frame of each segment, and how many
        frames it has, both int64 (B, S).

    Examples:
        >>> cut_at_changes(torch.tensor([[0.1, 0.9, 0.1, 0.1, 0.2]]), 2, 1, 4)
        (tensor([[0, 2]]), tensor([[2, 4]]))
    """
    frames = changes.shape[1] + 1
    most = longest if isinstance(longest, int) else frames
    if not num_segments * shortest <= frames <= num_segments * most:
        raise InputError(f'{frames} frames cannot be cut into {num_segments} segments '
                         f'of {shortest} to {most} frames')
    if count is None:
        count = changes.new_full((len(changes), ), frames, dtype=torch.int64)
    count = count[:, None]
    lengths = torch.arange(most, shortest - 1, -1, device=changes.device)
    uneven = (lengths - count / num_segments).square() / count**2
    # What a cut in front of each frame is worth, and of the video's end.
    worth = F.pad(changes.double(), (1, 1))
    cost = 1e-6 * (worth.amax(dim=1) + 1e-30)[:, None] * uneven
    if longest is not most:
        cost = cost.masked_fill(lengths > longest[:, None], torch.inf)
    best = torch.full_like(worth, -torch.inf)
    best[:, 0] = 0
    choices = []
    for _ in range(num_segments):
        # (B, T + 1, lengths): what comes of a segment that ends in front of t.
        ends = F.pad(best + worth, (most, 0), value=-torch.inf).unfold(
            1, most + 1, 1)[..., :len(lengths)]
        best, choice = (ends - cost[:, None]).max(dim=-1)
        choices.append(lengths[choice])
    end, taken = count, []
    for choice in reversed(choices):
        taken.append(choice.gather(1, end))
        end = end - taken[-1]
    taken = torch.cat(taken[::-1], dim=1)
    return taken.cumsum(dim=1) - taken, taken
