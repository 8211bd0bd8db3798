"""Masks and means of frames; cut, find what stays, exchange channels."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError, check_number


def mask_or_all(mask: Tensor) -> Tensor:
    """Make rows without a True all True, so that each has a mean or softmax."""
    return mask | ~mask.any(dim=-1, keepdim=True)


def segment_mask(frame_mask: Tensor, num_segments: int) -> Tensor:
    """Reduce the mask of frames (B, T) to that of segments (B, S).

    That of a segment's last frame, as in CenterCLIP. Where that leaves a video with no
    segment at all, every segment with a valid frame counts instead.
    """
    frames = frame_mask.unflatten(1, (num_segments, -1))
    last = frames[:, :, -1]
    return last | (frames.any(dim=2) & ~last.any(dim=1, keepdim=True))


def weighted_mean(tokens: Tensor, frame_mask: Tensor | None) -> Tensor:
    """Average tokens (M, F, N, C) over frames that count, or all if none does."""
    if frame_mask is None:
        return tokens.mean(dim=1, keepdim=True)
    frame_mask = mask_or_all(frame_mask)
    weights = frame_mask.to(tokens.dtype) / frame_mask.sum(dim=1, keepdim=True)
    return (tokens * weights[:, :, None, None]).sum(dim=1, keepdim=True)


def repeated_pairs(ids: Tensor) -> Tensor:
    """Find which other pairs of a batch share something with a pair.

    Of integers (N, K), such as numbers of video and caption; a negative one is not
    known, and like no other. Bool (N, N), symmetric, False on the diagonal.
    """
    same = (ids[:, None] == ids[None]) & (ids[:, None] >= 0)
    return same.any(dim=-1) & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)


@torch.no_grad()
def frame_changes(tokens: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Return 1 - cos of the mean tokens of each frame and the one before."""
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
    six digits, those whose lengths are most even. From ``changes`` (B, T - 1) to first
    frame and length of each segment, int64 (B, S). ``longest`` may be of each video,
    int64 (B, ), and only the first ``count`` frames, int64 (B, ), be cut.

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
        count = changes.new_full((changes.shape[0], ), frames, dtype=torch.int64)
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


@torch.no_grad()
def run_lengths(tokens: Tensor, threshold: float,
                frame_mask: Tensor | None = None) -> Tensor:
    """Return for how many frames each token stays, where it first appears.

    After Run-Length Tokenization (arXiv 2411.05222, Sec. 3), here by the Euclidean
    distance to the token at its place in the frame before, as a share of that one's
    norm. From tokens (B, F, N, C) to int64 (B, F, N); 0 where a token goes on. Tokens
    of frames that are not real are dropped, and end what was before.

    Examples:
        >>> tokens = torch.tensor([1., 1, 1, 5, 5]).view(1, 5, 1, 1)
        >>> run_lengths(tokens, 0.1).flatten().tolist()
        [3, 0, 0, 2, 0]
    """
    check_number('threshold', threshold, lambda x: x >= 0, 'at least 0')
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
    """Index the tokens of a size (B, L) above 0, ascending, padded, int64 (B, K)."""
    empty = size == 0
    longest = int((~empty).sum(dim=1).max())
    return empty.to(torch.int8).argsort(dim=1, stable=True)[:, :longest]


def temporal_shift(tokens: Tensor, fold_div: int = 8) -> Tensor:
    """Shift a part of the channels by a frame (TSM, arXiv 1811.08383).

    Of tokens (B, T, N, C), the first C // ``fold_div`` channels come from the next
    frame, the next C // ``fold_div`` from the previous one, zeros where there is none.
    """
    if not isinstance(fold_div, int) or fold_div < 2:
        raise InputError('fold_div must be an integer of at least 2, got '
                         f'{fold_div!r}')
    fold = tokens.shape[-1] // fold_div
    result = tokens.clone()
    result[:, :-1, :, :fold] = tokens[:, 1:, :, :fold]
    result[:, -1:, :, :fold] = 0
    result[:, 1:, :, fold:2 * fold] = tokens[:, :-1, :, fold:2 * fold]
    result[:, :1, :, fold:2 * fold] = 0
    return result
