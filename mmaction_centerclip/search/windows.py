"""Split a long video into windows, and find the frames of a window's segments."""
from collections.abc import Iterable

import numpy as np
import torch
from torch.nn import functional as F

# Of the range of grey values: less is motion, or noise.
LEAST_CHANGE = 0.06
# A cut changes so many times as much as the frames around it do.
TIMES_AS_MUCH = 3.
PICTURE = 16  # Pixels on a side of the pictures that are compared.


def split_video(seconds: np.ndarray, length: float,
                cuts: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Split a video into windows that are no longer than so many seconds.

    What lies between two cuts (first frames of shots, ascending) is split into equal
    parts. ``seconds`` says when each frame starts and the video ends, float64 (frames +
    1, ). Of each window, return the first frame, and that behind its last.

    Examples:
        >>> seconds = np.arange(61) / 2
        >>> split_video(seconds, 10)
        [(0, 20), (20, 40), (40, 60)]
        >>> split_video(seconds, 10, np.array([6]))
        [(0, 6), (6, 24), (24, 42), (42, 60)]
    """
    frames = len(seconds) - 1
    shots = [0, *([] if cuts is None else cuts.tolist()), frames]
    edges = []
    for first, end in zip(shots, shots[1:]):
        start, stop = seconds[first], seconds[end]
        # Without the little by which a sum of durations misses a whole number.
        parts = max(1, int(np.ceil((stop - start) / length - 1e-6)))
        inner = np.linspace(start, stop, parts + 1)[:-1]
        edges += np.clip(np.searchsorted(seconds, inner - 1e-6), first, end).tolist()
    edges = sorted({*edges, frames})
    return list(zip(edges, edges[1:]))


def segment_frames(sampled: list[int], starts: list[int], first: int,
                   end: int) -> list[tuple[int, int]]:
    """Return the frames from ``first`` to ``end`` that each segment stands for.

    Those nearer to its own sampled frames than to those of the next: its first, and the
    one behind its last, which are equal if its frames are the next one's as well.
    ``starts`` are positions in ``sampled``, whose frames ascend.

    Examples:
        >>> segment_frames([2, 7, 12, 17], [0, 2], 0, 20)
        [(0, 10), (10, 20)]
    """
    inner = [(sampled[start - 1] + sampled[start] + 1) // 2 for start in starts[1:]]
    edges = [first, *inner, end]
    return list(zip(edges, edges[1:]))


def find_cuts(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Find where shots begin, in grey frames, uint8 (H, W): int64, without the first.

    A cut differs much from the last frame, :data:`TIMES_AS_MUCH` as those around it.
    """
    changes, last = [], None
    for frame in frames:
        picture = F.adaptive_avg_pool2d(
            torch.from_numpy(np.ascontiguousarray(frame))[None].float() / 255, PICTURE)
        if last is not None:
            changes.append(float((picture - last).abs().mean()))
        last = picture
    changes = np.array(changes)
    padded = np.pad(changes, 2)
    around = (padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]) / 4
    return 1 + np.flatnonzero(
        (changes >= LEAST_CHANGE) & (changes >= TIMES_AS_MUCH * around))
