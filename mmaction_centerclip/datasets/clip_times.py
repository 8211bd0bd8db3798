"""Keep the frames of a clip of a video, by its start and end in seconds."""
import math

import numpy as np

from mmaction_centerclip.errors import InputError

from .video.decoding_errors import DecodingError
from .video.frame_times import ROUNDED, uneven_seconds

__all__ = ['narrow_to_clip']


def narrow_to_clip(results: dict, start: float | None, end: float | None) -> None:
    """Let what samples frames see those of a clip only, in place.

    Frame i is shown from i / avg_fps on; where the rate of a video changes, at
    the time that its reader says.

    Args:
        results (dict): As a step leaves them that has opened the video:
            ``total_frames``, ``avg_fps`` and, optionally, ``start_index``,
            which sampling adds to the numbers of frames, and ``video_reader``,
            whose ``get_seconds`` has the times. The first and the
            last become those of the clip; an end beyond the video is its end.
        start (float, optional): Seconds; None for the start of the video.
        end (float, optional): Seconds; None for the end of the video.

    Raises:
        InputError: If frames have been chosen already.
        DecodingError: If the video says no rate or ends before the clip.

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
