"""Turn frames of a decoder into the pictures that a player shows, and when it does."""
import contextlib
import math
from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from mmaction_centerclip.errors import InputError

from .decoding_errors import DecodingError

# Color matrices that swscale has not, and what decord takes them for: 10 for
# BT.2020, and the others for none (2).
MATRICES = {8: 2, 10: 9, **dict.fromkeys(range(11, 18), 2)}
# Whose headers say one size, that of all that is shown.
WITH_HEADERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
BT709, PQ, HLG = 1, 16, 18  # of ITU-T H.273
LEAST_TURNED = 0.01  # of a matrix, below which its entry is rounding
MOST_STRETCHED = 16  # sides of a pixel, above which the file is not believed
WHITE = 203  # nits of SDR's white in HDR (ITU-R BT.2408)
HLG_PEAK = 1000  # nits, of the display that HLG's system gamma of 1.2 is for
LEVELS = 4096  # of tables
ROUNDED = 1e-3  # seconds, by which a file may have rounded the time of a frame
STRIP = 64  # rows at a time, which a processor's cache holds
# Linear RGB of BT.2020 in that of BT.709 (ITU-R BT.2087 without its clipping).
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083],
                     [-0.0182, -0.1006, 1.1187]], np.float32)
LUMA = np.array([[0.2627, 0.6780, 0.0593]], np.float32)  # of BT.2020


class ShownFrames:
    """Frames of a stream in RGB, as a player shows them.

    Pixels are made square by stretching the side that is too short, frames of another
    shape than the first are fitted into that, with black bars, PQ and HLG become
    BT.709, and what the file says is turned and mirrored. The container is at its
    start.
    """

    def __init__(self, container: av.container.InputContainer,
                 stream: av.VideoStream, num_threads: int) -> None:
        self._stored = stream.width, stream.height
        self._ratio = stream.sample_aspect_ratio or 1
        name = container.format.name
        has_header = name in WITH_HEADERS or name.endswith('_pipe')
        # The container's word is the last.
        self._keeps_ratio = has_header or (
            self._ratio != (stream.codec_context.sample_aspect_ratio or 1))
        first = None if has_header else _first_frame(container, stream)
        if first:
            # The stream's are of any of the frames that FFmpeg looked at.
            self._stored = first.width, first.height
            self._ratio = self._ratio_of(first)
        self._size = _square(*self._stored, self._ratio)
        self._num_threads = num_threads
        self._reformatter = VideoReformatter()

    def _ratio_of(self, frame: av.VideoFrame) -> Fraction:
        return self._ratio if self._keeps_ratio else frame.opaque or 1

    def to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Return the picture of a frame, uint8 (H, W, 3)."""
        frame.colorspace = MATRICES.get(frame.colorspace, frame.colorspace)
        size, ratio = self._size, self._ratio_of(frame)
        if (frame.width, frame.height) != self._stored or ratio != self._ratio:
            size = _fit(_square(frame.width, frame.height, ratio), size)
        is_hdr = frame.color_trc in (PQ, HLG)
        image = self._reformatter.reformat(
            frame, *size, format='rgb48le' if is_hdr else 'rgb24',
            threads=self._num_threads).to_ndarray()
        if is_hdr:
            image = _to_sdr(image, frame.color_trc, frame.color_primaries)
        if size != self._size:
            left, top = ((a - b) // 2 for a, b in zip(self._size, size))
            whole = np.zeros((*self._size[::-1], 3), np.uint8)
            whole[top:top + size[1], left:left + size[0]] = image
            image = whole
        return _turn(image, frame)


def with_ratios(frames: list[av.VideoFrame],
                stream: av.VideoStream) -> list[av.VideoFrame]:
    """Note the sides of a pixel, which may change, on frames just decoded."""
    ratio = stream.codec_context.sample_aspect_ratio
    if ratio:
        for frame in frames:
            frame.opaque = ratio
    return frames


def _first_frame(container: av.container.InputContainer,
                 stream: av.VideoStream) -> av.VideoFrame | None:
    with contextlib.suppress(av.FFmpegError):
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError):
                for frame in with_ratios(packet.decode(), stream):
                    return frame
    return None


def _square(width: int, height: int, ratio: Fraction) -> tuple[int, int]:
    if not 1 / MOST_STRETCHED <= ratio <= MOST_STRETCHED:
        return width, height
    return round(width * max(ratio, 1)), round(height / min(ratio, 1))


def _fit(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of the same proportions, to a pixel."""
    scale = min(a / b for a, b in zip(room, size))
    fitted = tuple(max(1, round(side * scale)) for side in size)
    return room if max(a - b for a, b in zip(room, fitted)) <= 1 else fitted


def _know_type(kind: type[Type], value: object) -> Type | None:
    """Stand for a type of side data that FFmpeg has and PyAV does not know."""
    if not isinstance(value, int):
        return None
    member = object.__new__(kind)
    member._name_, member._value_ = f'UNKNOWN_{value}', value
    return member


# PyAV 17 and 18 refuse to read any side data of a frame with some of another
# kind, such as the EXIF of a photo.
Type._missing_ = classmethod(_know_type)


def _matrix_of(frame: av.VideoFrame) -> list[float]:
    """Return a, b, c and d: a frame's x and y are shown at ax + cy and bx + dy."""
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    return [1, 0, 0, 1] if data is None else np.frombuffer(
        data, np.int32)[[0, 1, 3, 4]].astype(float).tolist()


def is_mirrored(frame: av.VideoFrame) -> bool:
    """Return True if a frame is shown as in a mirror."""
    a, b, c, d = _matrix_of(frame)
    return a * d < b * c


def _turn(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Turn and mirror a picture by quarters, as the frame's matrix says."""
    a, b, c, d = _matrix_of(frame)
    if max(abs(a), abs(d)) < LEAST_TURNED * min(abs(b), abs(c)):
        image, a, d = image.swapaxes(0, 1), c, b
    elif max(abs(b), abs(c)) > LEAST_TURNED * min(abs(a), abs(d)):
        return image  # by an odd angle
    return image[::-1 if d < 0 else 1, ::-1 if a < 0 else 1]


def _to_sdr(image: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Return a picture of BT.709, uint8 (H, W, 3), which shows the same light.

    Of one in PQ or HLG (ITU-R BT.2100), uint16 (H, W, 3), with primaries of BT.709 or
    else of BT.2020. :data:`WHITE` becomes 255; what is brighter keeps its hue.
    """
    shown = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), STRIP):
        light = _LINEAR[transfer].take(image[top:top + STRIP] >> 4)
        if transfer == HLG:
            luma = cv2.transform(light, LUMA)
            light *= luma[..., None]**0.2 * np.float32(HLG_PEAK / WHITE)
        if primaries != BT709:
            light = cv2.transform(light, TO_BT709)
        brightest = np.maximum.reduce([light[..., i] for i in range(3)])
        light /= np.maximum(brightest, 1)[..., None]
        places = np.sqrt(np.maximum(light, 0, out=light), out=light)
        places *= LEVELS - 1
        shown[top:top + STRIP] = _SDR.take((places + 0.5).astype(np.uint16))
    return shown


def _linear_of_pq(signal: np.ndarray) -> np.ndarray:
    """Return the light of a signal in PQ, 1 for :data:`WHITE`."""
    root = signal**(4096 / 2523 / 128)
    top = np.maximum(root - 3424 / 4096, 0)
    return 10000 / WHITE * (top / (2413 / 128 - 2392 / 128 * root))**(16384 / 2610)


def _linear_of_hlg(signal: np.ndarray) -> np.ndarray:
    """Return the light of the scene, 0 to 1, of a signal in HLG."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


_SIGNAL = np.arange(LEVELS) / (LEVELS - 1)
_LINEAR = {PQ: _linear_of_pq(_SIGNAL).astype(np.float32),
           HLG: _linear_of_hlg(_SIGNAL).astype(np.float32)}
# By the root of the light, which dark values differ in. The display is that of
# ITU-R BT.1886, with a gamma of 2.4.
_SDR = np.round(255 * _SIGNAL**(2 / 2.4)).astype(np.uint8)


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
