"""Decode the frames of a video that are asked for, and no others."""
import contextlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from types import SimpleNamespace

import av
import numpy as np
from av.stream import Disposition

from .decoding_errors import DecodingError
from .media_files import codec_name, open_media
from .shown_frames import ShownFrames, with_ratios

__all__ = ['VideoReader']

# A packet is a frame and says its time here, which tells the frame from its
# neighbours after a jump to a key frame.
JUMP_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
JUMP_CODECS = ('av1', 'h264', 'hevc', 'mjpeg', 'mpeg4', 'prores', 'vp8', 'vp9')
# Lists of other files, and text that is drawn.
NO_VIDEOS = ('concat', 'dash', 'hls', 'tty')
# Decoded frames that are held between counting and reading.
HELD_BYTES = 2**28


class VideoReader:
    """The frames of a video, by their number.

    Frame i is the i-th that a decoder gives which starts at the first and
    leaves none out. In MP4 and Matroska, with the usual codecs, key frames
    are jumped to, and the times of the frames that come then are compared
    with those in the file. All other videos, and those where a time differs,
    are decoded in order.

    It has what the zoo's ``DecordDecode`` calls of ``decord.VideoReader``.
    Frames are as a player shows them, see :class:`ShownFrames`.

    Args:
        source (str | bytes): The name of a local file, or its content.
        num_threads (int): Threads of the decoder. Defaults to 1.

    Raises:
        DecodingError: If no frame can be decoded.
    """

    def __init__(self, source: str | bytes, num_threads: int = 1) -> None:
        self._source = source
        self._num_threads = num_threads
        self._times: list[int] = []  # of all frames, where jumps are safe
        self._keys: list[int] = []  # the numbers of those that are key frames
        self._seen: list[int | None] = []  # the same, where they are not
        self._held: list[av.VideoFrame] = []
        with self._open() as (container, stream):
            self._codec = codec_name(stream)
            self._to_rgb = ShownFrames(container, stream, num_threads).to_rgb
            self._fps = stream.average_rate
            self._guessed_fps = stream.guessed_rate
            self._time_base = stream.time_base
            if (container.format.name in JUMP_CONTAINERS
                    and self._codec in JUMP_CODECS
                    # Not fields, as far as PyAV (from 18 on) says it.
                    and getattr(stream.codec_context, 'field_order', 0) < 2):
                self._list_times(container, stream)
        self._total = len(self._times) or self._decode_all()

    def __len__(self) -> int:
        return self._total

    def get_avg_fps(self) -> float:
        """Return the frames in a second, on average; 0 if nothing says."""
        return float(self._fps or self._guessed_fps or 0)

    def get_seconds(self) -> np.ndarray:
        """Return when frames are shown, from the first on.

        Returns:
            np.ndarray: When each frame starts and, last, when the video ends,
            float64 (frames + 1, ), in seconds: as the file says, or by the
            rate where it says nothing that ascends.

        Raises:
            DecodingError: If the file says no rate either.
        """
        fps = self.get_avg_fps()
        if fps <= 0:
            raise DecodingError('says no frame rate')
        times = self._times or self._seen
        if len(times) != self._total or None in times or np.any(np.diff(times) <= 0):
            return np.arange(self._total + 1) / fps
        seconds = (np.array(times) - times[0]) * float(self._time_base)
        return np.append(seconds, seconds[-1] + 1 / fps)

    def decode_grey(self) -> Iterator[np.ndarray]:
        """Decode all frames in order, grey, uint8 (H, W)."""
        for frame in self._decode_in_order():
            yield frame.reformat(format='gray').to_ndarray()

    def get_batch(self, indices: Sequence[int]) -> SimpleNamespace:
        """Decode frames.

        Args:
            indices (Sequence[int]): Their numbers, in any order.

        Returns:
            SimpleNamespace: ``asnumpy()`` gives them in RGB, uint8
            (len(indices), H, W, 3).

        Raises:
            DecodingError: If one cannot be decoded.
        """
        indices = np.ravel(indices).tolist()
        wanted = sorted(set(indices))
        if wanted[0] < 0 or wanted[-1] >= self._total:
            raise DecodingError(f'has {self._total} frames, so none of number '
                                f'{wanted[0] if wanted[0] < 0 else wanted[-1]}')
        images = self._read_by_jumps(wanted) if self._times else None
        if images is None:
            images = self._read_in_order(wanted)
        batch = np.stack([images[index] for index in indices])
        return SimpleNamespace(asnumpy=lambda: batch)

    def in_order(self) -> Iterator[tuple[np.ndarray, float | None]]:
        """Decode all frames, once; each with its time in seconds, if it has one."""
        for frame in self._held or self._decode_in_order():
            # That of the stream: frames that are flushed have none of their own.
            yield self._to_rgb(frame), None if frame.pts is None else float(
                frame.pts * self._time_base)

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple]:
        with open_media(self._source) as container:
            if container.format.name in NO_VIDEOS:
                raise DecodingError(f'is no video ({container.format.name})')
            stream = _find_video(container)
            stream.codec_context.thread_count = self._num_threads
            if self._num_threads > 1:
                stream.thread_type = 'AUTO'
            yield container, stream

    def _list_times(self, container: av.container.InputContainer,
                    stream: av.VideoStream) -> None:
        """List the times of all packets, if they tell the frames apart."""
        with contextlib.suppress(_CutOffError):
            packets = [(packet.pts, packet.is_keyframe, packet.is_discard
                        or packet.is_corrupt or self._may_hide(packet))
                       for packet in _packets(container, stream)]
            times = sorted({time for time, _, _ in packets if time is not None})
            if (times and len(times) == len(packets)
                    and packets[0][:2] == (times[0], True)
                    and not any(is_spoilt for _, _, is_spoilt in packets)):
                number = {time: i for i, time in enumerate(times)}
                self._times = times
                self._keys = sorted(
                    number[time] for time, is_key, _ in packets if is_key)

    def _may_hide(self, packet: av.Packet) -> bool:
        """Tell a packet that gives no frame, or stands for one not coded."""
        if self._codec == 'vp8':
            return not memoryview(packet)[0] & 16  # its bit show_frame
        return self._codec == 'mpeg4' and packet.size < 16

    def _read_by_jumps(self,
                       wanted: list[int]) -> dict[int, np.ndarray] | None:
        """Decode from the key frames before, unless a time is not as listed."""
        images, place = {}, -1
        with self._open() as (container, stream), contextlib.suppress(
                av.FFmpegError):
            for index in wanted:
                key = self._keys[bisect_right(self._keys, index) - 1]
                if key > place:
                    container.seek(self._times[key], stream=stream)
                    frames, place = container.decode(stream), key
                for frame in frames:
                    time = self._times[place]
                    if place == key and frame.pts is not None and frame.pts < time:
                        continue  # a frame of the group before
                    if (frame.pts != time or frame.interlaced_frame
                            or frame.is_corrupt
                            or place == key and not frame.key_frame):
                        return None
                    place += 1
                    if place > index:
                        break
                else:
                    return None
                images[index] = self._to_rgb(frame)
            return images

    def _read_in_order(self, wanted: list[int]) -> dict[int, np.ndarray]:
        if self._times:
            # The numbers so far were of the times, and must be the same.
            if self._decode_all() != self._total:
                raise DecodingError(f'is damaged: not all of its {self._total} '
                                    f'frames can be decoded ({self._codec})')
            self._times = []
        images = {}
        for index, frame in enumerate(self._held or self._decode_in_order()):
            if index in wanted:
                images[index] = self._to_rgb(frame)
            if index == wanted[-1]:
                break
        return images

    def _decode_in_order(self) -> Iterator[av.VideoFrame]:
        """Decode all frames, to the end or to where the file is cut off."""
        with self._open() as (container, stream), contextlib.suppress(
                _CutOffError):
            has_started, error = False, None
            for packet in chain(_packets(container, stream), [None]):
                has_started = has_started or packet is None or packet.is_keyframe
                try:
                    frames = stream.decode(packet)
                except av.FFmpegError as raised:
                    error = raised if has_started else None
                    continue
                if error and packet is None:
                    return
                if error:
                    # Nobody knows the numbers of the frames that follow.
                    raise DecodingError(
                        f'is damaged in the middle ({error.strerror}; its '
                        f'codec is {self._codec})') from error
                yield from with_ratios(frames, stream)

    def _decode_all(self) -> int:
        """Count the frames, and hold them if they are small."""
        total = size = 0
        self._held.clear()
        self._seen.clear()
        for total, frame in enumerate(self._decode_in_order(), 1):
            self._seen.append(frame.pts)
            if total == 1:
                start = frame.pts
            size += sum(plane.buffer_size for plane in frame.planes)
            self._held.append(frame)
            if size > HELD_BYTES:
                self._held.clear()
        if total == 0:
            raise DecodingError('none of its frames can be decoded (its codec '
                                f'is {self._codec})')
        if (not self._fps and None not in (start, frame.pts)
                and frame.pts > start):
            self._fps = (total - 1) / ((frame.pts - start) * self._time_base)
        return total


def _find_video(container: av.container.InputContainer) -> av.VideoStream:
    streams = [stream for stream in container.streams.video
               if not stream.disposition & Disposition.attached_pic]
    best = container.streams.best('video')
    if not streams:
        raise DecodingError('has no video stream')
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise DecodingError('cannot be decoded (its codec is not known to PyAV)')
    if not (stream.width and stream.height):
        raise DecodingError(
            f'its frames have no size (its codec is {codec_name(stream)})')
    return stream


class _CutOffError(Exception):
    """The file ends too early."""


def _packets(container: av.container.InputContainer,
             stream: av.VideoStream) -> Iterator[av.Packet]:
    """Read the packets that hold something, and of the last one all."""
    spoilt = None
    try:
        for packet in container.demux(stream):
            if packet.size:
                if spoilt:
                    yield spoilt
                spoilt = packet if packet.is_corrupt else None
                if not spoilt:
                    yield packet
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise _CutOffError from error
    if spoilt:
        # Of the frames that the decoder still holds, some may lack those
        # before them.
        raise _CutOffError
