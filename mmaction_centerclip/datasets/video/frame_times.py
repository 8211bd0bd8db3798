"""When the frames of a video are shown whose rate changes."""
import math

import numpy as np

__all__ = ['ROUNDED', 'is_even', 'uneven_seconds']

ROUNDED = 1e-3  # seconds, by which a file may have rounded the time of a frame


def is_even(seconds: np.ndarray, rate: float) -> bool:
    """Tell times (N, ) that are those of a rate, to half a frame."""
    return bool(np.abs(seconds * rate - np.arange(len(seconds))).max() <= 0.5)


def uneven_seconds(results: dict) -> np.ndarray | None:
    """Return when frames are shown, unless the rate of the video says that.

    Args:
        results (dict): As a step leaves them that has opened the video, with
            ``video_reader``, ``avg_fps``, ``total_frames`` and maybe
            ``start_index``.

    Returns:
        np.ndarray | None: When each frame of the part starts and, last, when it
        ends, in seconds from its start, float64 (total_frames + 1, ). None where
        frame i is shown from i / ``avg_fps`` on, or no times are known.
    """
    find = getattr(results.get('video_reader'), 'get_seconds', None)
    rate, total = results.get('avg_fps') or 0, results['total_frames']
    if find is None or not 0 < rate < math.inf:
        return None
    seconds, first = find(), results.get('start_index', 0)
    if is_even(seconds, rate) or len(seconds) <= first + total:
        return None
    return seconds[first:first + total + 1] - seconds[first]
