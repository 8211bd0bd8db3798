"""Write a moment as a clip."""
import os
from collections.abc import Iterator

import numpy as np

from mmaction_centerclip.datasets.video.decoding_errors import decoding_errors
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import atomic_write, check_absent
from mmaction_centerclip.utils.mp4 import write_mp4

from .ranking import Hit


def cut_clip(hit: Hit, path: str | os.PathLike) -> None:
    """Write the pictures of a moment to a new MP4 file, encoded anew (H.264).

    It begins at the in point, not at the key frame before, and has no sound.
    """
    path = os.fspath(path)
    if not path.endswith('.mp4'):
        raise InputError(f'{path}: a clip must be an .mp4 file')
    check_absent(path)
    with decoding_errors(hit.file):
        reader = VideoReader(hit.file)
        seconds = reader.get_seconds()
        frames, times, end = _shown(seconds, hit.start, hit.end)
        if not frames:
            raise InputError(f'{hit.file} has no frames from {hit.start} to '
                             f'{hit.end} seconds')
        with atomic_write(path) as partial:
            write_mp4(partial, zip(_pictures(reader, frames), times), end,
                      reader.get_avg_fps())


def _shown(seconds: np.ndarray, start: float,
           end: float) -> tuple[list[int], list[float], float]:
    """Find the frames that are on the screen from a time to another, to half a frame.

    Return their numbers, the times at which they start in the clip, and its end.
    """
    lasts = np.diff(seconds)
    half = np.minimum(lasts, np.median(lasts)) / 2
    frames = np.flatnonzero((seconds[1:] - start > half) & (seconds[:-1] < end - half))
    if not len(frames):
        return [], [], 0.
    first = frames[0]
    # One that is half over begins the clip.
    first = seconds[first] if seconds[first] > start - half[first] - 1e-6 else start
    times = np.maximum(seconds[frames] - first, 0)
    return frames.tolist(), times.tolist(), float(
        min(seconds[frames[-1] + 1], end) - first)


def _pictures(reader: VideoReader, frames: list[int]) -> Iterator[np.ndarray]:
    for place in range(0, len(frames), 32):  # a bounded number at a time
        yield from reader.get_batch(frames[place:place + 32]).asnumpy()
