"""Write pictures to an MP4 file, each at its time."""
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain, pairwise
from math import ceil, lcm

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

TICKS = 90000  # of a second, which most rates divide
MOST_TICKS = 10**7
ROUNDED = 1.1e-3  # seconds by which files that count milliseconds miss a time
BT709 = 1  # of ITU-T H.273


def write_mp4(path: str, frames: Iterable[tuple[np.ndarray, float]],
              end: float | None = None, fps: Fraction | float = 0, comment: str = '',
              num_threads: int = 0, **x264: str) -> None:
    """Write pictures as H.264, in the colors of BT.709, without sound.

    ``frames`` are pictures of one size, RGB, uint8 (H, W, 3), and when each is shown,
    in ascending seconds. Of an odd side, one pixel is left out. The last is shown until
    ``end``; None: as the rate says. Times that hardly differ from those of a rate of
    about ``fps`` become those; 0 where it is not known.
    """
    fps = Fraction(fps).limit_denominator(1001) or Fraction(25)
    ticks = lcm(fps.numerator, TICKS)
    if ticks > MOST_TICKS:
        ticks = fps.numerator * ceil(TICKS / fps.numerator)
    with av.open(f'file:{path}', 'w', format='mp4',
                 options=dict(movflags='faststart')) as file:
        file.metadata['comment'] = comment
        # PyAV's shared one has threads, without which a fork of this process hangs.
        stream, stop, reformatter = None, {}, VideoReformatter()
        places = _places(frames, end, fps, ticks)
        for (image, start), (_, following) in pairwise(places):
            image = image[:image.shape[0] // 2 * 2, :image.shape[1] // 2 * 2]
            if stream is None:
                stream = _add_stream(file, image.shape, fps, ticks, x264)
                stream.codec_context.thread_count = num_threads
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(image), format='yuv420p',
                dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            frame.color_trc = frame.color_primaries = BT709
            frame.pts, frame.time_base = start, Fraction(1, ticks)
            stop[start] = following
            _mux(file, stream.encode(frame), stop)
        _mux(file, stream.encode(None), stop)


def _places(frames: Iterable[tuple[np.ndarray, float]], end: float | None,
            fps: Fraction, ticks: int) -> Iterable[tuple[np.ndarray | None, int]]:
    """Yield each frame, and at last the end, in ticks that ascend."""
    last = -1
    for image, time in chain(frames, [(None, end)]):
        if time is None:
            time = Fraction(last, ticks) + 1 / fps
        even = Fraction(round(time * fps)) / fps
        if abs(even - time) <= min(ROUNDED, 1 / fps / 4):
            time = even
        last = max(round(time * ticks), last + 1)
        yield image, last


def _add_stream(file: av.container.OutputContainer, shape: tuple[int, ...],
                fps: Fraction, ticks: int, x264: dict[str, str]) -> av.VideoStream:
    stream = file.add_stream('libx264', rate=fps, options=x264)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = 'yuv420p'
    context = stream.codec_context
    stream.time_base = context.time_base = Fraction(1, ticks)
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = ColorRange.MPEG
    return stream


def _mux(file: av.container.OutputContainer, packets: list[av.Packet],
         stop: dict[int, int]) -> None:
    for packet in packets:
        packet.duration = stop.pop(packet.pts) - packet.pts
        file.mux(packet)
