"""Masks of frames, of segments, and of the pairs of a batch."""
import torch
from torch import Tensor


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
