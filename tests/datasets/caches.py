"""Read frames from a cache, with the video and without it."""
from functools import partial
from pathlib import Path

import numpy as np

from mmaction_centerclip.datasets.caching.frame_cache import CachedVideo, FrameCache
from mmaction_centerclip.datasets.video.video_reader import VideoReader


def open_video(cache: FrameCache, path: Path) -> CachedVideo:
    """Open a video through a cache."""
    return cache.open(str(path), partial(VideoReader, str(path)))


def read(cache: FrameCache, path: Path, numbers: list[int]) -> np.ndarray:
    """Read frames, from the cache or the video."""
    return np.stack(open_video(cache, path).get_batch(numbers).asnumpy())


def only_cached(cache: FrameCache, path: Path, numbers: list[int]) -> np.ndarray:
    """Read frames without the video."""

    def fail():
        raise AssertionError('the video was opened')

    return np.stack(cache.open(str(path), fail).get_batch(numbers).asnumpy())
