"""When the frames of a video are shown, and which of them a clip has."""
import math

import numpy as np

from mmaction_centerclip.errors import InputError

from .decoding_errors import DecodingError

ROUNDED = 1e-3  # seconds, by which a file may have rounded the time of a frame


def is_even(seconds: np.ndarray, rate: float) -> bool:
    """Return True if times (N, ) are those of a rate, to half a frame."""
    return bool(np.abs(seconds * rate - np.arange(len(seconds))).max() <= 0.5)


def uneven_seconds(results: dict) -> np.ndarray | None:
    """Return when the frames of opened ``results`` are shown, unless the rate says it.

    Seconds from the start of the part, float64 (total_frames + 1, ), of which the last
    is its end. None where frame i is shown from i / ``avg_fps`` on, or nothing is
    known.
    """
    find = getattr(results.get('video_reader'), 'get_seconds', None)
    rate, total = results.get('avg_fps') or 0, results['total_frames']
    if find is None or not 0 < rate < math.inf:
        return None
    seconds, first = find(), results.get('start_index', 0)
    if is_even(seconds, rate) or len(seconds) <= first + total:
        return None
    return seconds[first:first + total + 1] - seconds[first]


def narrow_to_clip(results: dict, start: float | None, end: float | None) -> None:
    """Restrict the frames that are sampled to those of a clip, in place.

    Frame i is shown from i / avg_fps on; where the rate of a video changes, at the time
    that its reader says. ``start_index`` is what sampling adds to the numbers of
    frames. ``start`` and ``end`` are in seconds; None, or an end beyond it, is the
    video's own.

    Examples:
        >>> results = dict(total_frames=100, avg_fps=25.0)
        >>> narrow_to_clip(results, 1.0, 3.0)
        >>> results['start_index'], results['total_frames']
        (25, 50)
    """
    if 'frame_inds' in results:
        raise InputError('clips with start and end need a step that opens the video '
                         'and another one that samples, such as VideoInit and '
                         'SampleFramesWithMask')
    total, rate = results['total_frames'], results.get('avg_fps') or 0
    if not 0 < rate < math.inf:
        raise DecodingError('has a clip with start and end, for which it must say '
                            f'its rate, got avg_fps={results.get("avg_fps")!r}')
    seconds = uneven_seconds(results)
    if seconds is None:
        # Rounded, so that a time that was written as frame / rate is that frame.
        first, last = (math.ceil(round(time * rate, 3)) for time in (
            start or 0, total / rate if end is None else end))
        length, last = total / rate, min(last, total)
    else:
        first, last = np.searchsorted(seconds[:-1] + ROUNDED, (
            start or 0, math.inf if end is None else end)).tolist()
        length = seconds[-1]
        if last <= first and (start or 0) < length:
            first = max(first - 1, 0)  # that is shown all the time
    if first >= total:
        raise DecodingError(f'ends at {length:.2f} s, before its clip from '
                            f'{start} s on')
    results['start_index'] = results.get('start_index', 0) + first
    results['total_frames'] = max(last - first, 1)
