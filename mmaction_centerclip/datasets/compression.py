"""Write a video anew, smaller and faster to decode, and compare both."""
import functools
import json
import os
import os.path as osp
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import zip_longest
from math import ceil

import av
import cv2
import numpy as np

from mmaction_centerclip.errors import InputError, check_choice, check_number
from mmaction_centerclip.utils.files import partial_beside
from mmaction_centerclip.utils.mp4 import write_mp4
from mmaction_centerclip.utils.option_types import check_types

from .video.decoding_errors import DecodingError, decoding_errors, open_media
from .video.video_reader import VideoReader

PRESETS = ('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow',
           'slower', 'veryslow')
LATE = 2e-3  # seconds that a frame may be from its time


@check_types
@dataclass(frozen=True)
class Compression:
    """The settings of a compressed video: H.264 in MP4, without sound.

    CLIP4Clip's authors keep 3 frames of each second, and sample one of them (arXiv
    2104.08860, section 4.2).
    """
    short_side: int = 224  # pixels; a smaller video keeps its size
    fps: int = 3  # frames of each second to keep; 0 for all
    all_intra: bool = False  # every frame is a key frame, read without another
    crf: int = 18  # x264's quality, 0 (best) to 51
    preset: str = 'medium'
    max_difference: float = 20.  # mean of a frame, of 255, to refuse a video from

    def __post_init__(self) -> None:
        for name, least, top in (('short_side', 16, 2**14), ('fps', 0, 1000),
                                 ('crf', 0, 51)):
            value = getattr(self, name)
            if not least <= value <= top:
                raise InputError(f'{name} must be from {least} to {top}, '
                                 f'got {value!r}')
        check_choice('preset', self.preset, PRESETS)
        check_number('max_difference', self.max_difference, lambda x: x > 0, 'positive')


def compress_video(source: str, target: str, options: Compression) -> dict | None:
    """Compress a video to a new file, which is there once it is verified.

    The numbers of frames, their times and the pictures of both are compared. The file
    says of what it was made, so that a second call does nothing, and returns None. Else
    return ``frames``, ``bytes``, ``original_bytes``, and ``difference``, the mean of
    all frames' mean differences, of 255.
    """
    with decoding_errors(source):
        stat = os.stat(source)
        origin = json.dumps(dict(asdict(options), bytes=stat.st_size,
                                 time=stat.st_mtime_ns, format=2), sort_keys=True)
        if osp.lexists(target) and _origin_of(target, source) == origin:
            return None
        os.makedirs(osp.dirname(osp.abspath(target)), exist_ok=True)
        with partial_beside(target) as partial:
            work = functools.partial(
                _write_and_compare, source, partial, options, origin)
            try:
                frames, difference = work()
            except _UntimedError:
                frames, difference = work(has_times=False)
            figures = dict(frames=frames, bytes=osp.getsize(partial),
                           original_bytes=stat.st_size, difference=difference)
            os.replace(partial, target)
    return figures


def _origin_of(target: str, source: str) -> str:
    """Read what a compressed file says of itself, or refuse another one."""
    try:
        with open_media(target) as container:
            found = container.metadata.get('comment', '')
            if 'max_difference' in json.loads(found):
                return found
    except (av.FFmpegError, OSError, ValueError):
        pass
    raise DecodingError(f'{target} is there and not a compressed video; it is left '
                        'as it is', source)


class _UntimedError(Exception):
    """The container has no times of the frames, as AVI."""


def _kept(source: str, options: Compression,
          has_times: bool) -> Iterator[tuple[np.ndarray, Fraction]]:
    """Yield the frames that are kept, resized, each with its new time in seconds."""
    # Of a second, those on the screen at its ``fps`` even moments, each once.
    reader = VideoReader(source)
    rate, fps = reader.get_avg_fps(), options.fps
    frames, last = _with_times(reader, rate, has_times), -1
    image, time = next(frames)
    first, sides = time, image.shape[:2]
    scale = min(1, options.short_side / min(sides))
    height, width = (max(2 * round(side * scale / 2), 2) for side in sides)  # even
    while image is not None:
        after, after_time = next(frames, (None, None))
        since = time - first
        until = since + (1 / rate if rate else 0) if after is None else (
            after_time - first)
        # Times are rounded to the ticks of a file.
        slot, end = (ceil(moment * fps - 1e-4) for moment in (since, until))
        if not fps or last < slot < max(end, 1):
            last = slot
            yield (cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA),
                   Fraction(slot, fps) if fps else Fraction(since))
        image, time = after, after_time


def _with_times(reader: VideoReader, rate: float,
                has_times: bool) -> Iterator[tuple[np.ndarray, float]]:
    last = None
    for number, (image, time) in enumerate(reader.in_order()):
        if not has_times:
            if not rate:
                raise DecodingError('says neither a rate nor times of its frames')
            time = number / rate
        elif time is None or last is not None and time <= last:
            raise _UntimedError
        last = time
        yield image, time


def _write_and_compare(source: str, path: str, options: Compression, origin: str,
                       has_times: bool = True) -> tuple[int, float]:
    x264 = dict(crf=str(options.crf), preset=options.preset, tune='fastdecode')
    if options.all_intra:
        x264['x264-params'] = 'keyint=1'
    # On one thread: files are done in parallel.
    write_mp4(path, _kept(source, options, has_times),
              fps=options.fps or VideoReader(source).get_avg_fps(),
              comment=origin, num_threads=1, **x264)
    return _compare(_kept(source, options, has_times), path, options.max_difference)


def _compare(kept: Iterator, path: str, max_difference: float) -> tuple[int, float]:
    """Compare every frame of both; their number, and how they differ."""
    differences, start = [], None
    for expected, found in zip_longest(kept, VideoReader(path).in_order()):
        name = f'was compressed to a frame {len(differences)}'
        if expected is None or found is None:
            which = 'more' if expected is None else 'fewer'
            raise DecodingError(f'was compressed to {which} than its frames')
        start = found[1] if start is None else start
        time, wanted = found[1] - start, float(expected[1])
        if abs(time - wanted) > LATE:
            raise DecodingError(f'{name} at {time:.3f} s, not {wanted:.3f}')
        differ = float(np.abs(
            np.subtract(expected[0], found[0], dtype=np.int16)).mean())
        if differ > max_difference:
            raise DecodingError(f'{name} that differs by {differ:.1f} of 255; '
                                f'max_difference={max_difference}')
        differences.append(differ)
    return len(differences), sum(differences) / len(differences)
