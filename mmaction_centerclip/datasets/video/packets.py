"""Read the packets of a video, list them, and go through the frames in order."""
import contextlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, dropwhile
from typing import NamedTuple

import av
from av.stream import Disposition

from .decoding_errors import DecodingError, codec_name, open_media
from .shown_frames import with_ratios

NO_VIDEOS = ('concat', 'dash', 'hls', 'tty')  # lists of other files, and drawn text
# How far a packet may lie from the place of its frame: more than any codec
# has, and less than where the clock of a recording was set anew.
MOST_MOVED = 32
# Decoders that begin with a key frame as well where frames are two fields.
FIELDS = ('dvvideo', 'mpeg2video')


class CutOffError(Exception):
    """The file ends too early."""


class Key(NamedTuple):
    """A key frame, and the packet that it comes from."""
    number: int
    time: int
    decoding_time: int | None
    position: int | None


class Listing(NamedTuple):
    """The frames of a video, as its packets list them."""
    count: int
    times: list[int]  # in order; empty where packets do not tell frames apart
    keys: list[Key]  # likewise
    is_whole: bool  # the file ends where it should, as far as it says
    is_clean: bool  # the first packet is the first frame and a key frame too


class OpenVideo:
    """A video that is open at some place: a ``container``, and a ``stream`` in it."""

    def __init__(self, source: str | bytes, num_threads: int) -> None:
        self.container = open_media(source)
        if self.container.format.name in NO_VIDEOS:
            raise DecodingError(f'is no video ({self.container.format.name})')
        self.stream = _find_video(self.container)
        self.stream.codec_context.thread_count = num_threads
        if num_threads > 1:
            self.stream.thread_type = 'AUTO'

    def close(self) -> None:
        if 'container' in vars(self):
            self.container.close()

    # The file has references to itself, and would wait for the next collection.
    __del__ = close

    def packets(self) -> Iterator[av.Packet]:
        """Read the packets that hold something, and of the last one all."""
        return _packets(self.container, self.stream)

    def decode(self, packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
        """Decode packets to the end, or to where the file is cut off."""
        return _decode(self.stream, packets)

    def decode_from(self, key: Key, by_decoding_time: bool) -> Iterator[av.VideoFrame]:
        """Decode from a key frame on; nothing, where its packet is not found."""
        time = key.decoding_time if by_decoding_time else key.time
        self.container.seek(key.time if time is None else time, stream=self.stream)
        return _decode(self.stream, dropwhile(
            lambda packet: (packet.pts, packet.pos) != (key.time, key.position),
            self.packets()))


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


def _packets(container: av.container.InputContainer,
             stream: av.VideoStream) -> Iterator[av.Packet]:
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
        raise CutOffError from error
    if spoilt:
        # Of the frames that the decoder still holds, some may lack earlier ones.
        raise CutOffError


def _decode(stream: av.VideoStream,
            packets: Iterable[av.Packet]) -> Iterator[av.VideoFrame]:
    with contextlib.suppress(CutOffError):
        has_started, error = False, None
        for packet in chain(packets, [None]):
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
                    f'codec is {codec_name(stream)})') from error
            yield from with_ratios(frames, stream)


def list_packets(video: OpenVideo) -> Listing | None:
    """List all packets of a video; None where one is damaged, or is no frame."""
    codec, packets, is_whole = codec_name(video.stream), [], False
    with contextlib.suppress(CutOffError):
        for packet in video.packets():
            if packet.is_discard or packet.is_corrupt or _may_hide(codec, packet):
                return None
            packets.append((packet.pts, packet.dts, packet.pos, packet.is_keyframe))
        is_whole = True
    if not packets:
        return None
    times = sorted({time for time, *_ in packets if time is not None})
    number = {time: i for i, time in enumerate(times)}
    if len(times) < len(packets) or any(
            abs(number[time] - i) > MOST_MOVED for i, (time, *_) in enumerate(packets)):
        return Listing(len(packets), [], [], is_whole, False)
    keys = sorted(Key(number[time], time, decoding_time, position)
                  for time, decoding_time, position, is_key in packets if is_key)
    is_clean = is_whole and bool(keys) and packets[0][0] == keys[0].time == times[0]
    return Listing(len(packets), times, keys, is_whole, is_clean)


def _may_hide(codec: str, packet: av.Packet) -> bool:
    """Return True for a packet without a coded frame."""
    if codec == 'vp8':
        return not memoryview(packet)[0] & 16  # its bit show_frame
    return codec == 'mpeg4' and packet.size < 16


class OtherFramesError(Exception):
    """Frames come in other numbers or at other times than was listed."""


class FrameCursor:
    """The place in a video where the last reading ended, from which it goes on.

    Frames that come are compared with ``times``, those of all, unless it is empty.
    Jumps go to ``keys``, in order, by their decoding times if it says so.
    """

    def __init__(self, source: str | bytes, num_threads: int, times: Sequence[int],
                 keys: Sequence[Key], by_decoding_time: bool) -> None:
        self._source, self._num_threads = source, num_threads
        self._times, self._keys = times, keys
        self._by_decoding_time = by_decoding_time
        self._video = self._key = self._frame = None
        self._number = 0  # of the frame that comes next

    def read(self, number: int) -> av.VideoFrame:
        """Return a frame; at once if it is the last one, or soon if it is later."""
        if self._frame is not None and number == self._number - 1:
            return self._frame
        before = bisect_right(self._keys, number, key=lambda key: key.number)
        key = self._keys[before - 1] if before else None
        if self._video is None or number < self._number or (
                key and key.number > self._number):
            self._go_to(key)
        while self._number <= number:
            self._advance(must=True)
        return self._frame

    def find_end(self) -> int:
        """Return how many frames there are, decoded from the last key frame on."""
        self._go_to(self._keys[-1])
        self._advance(must=True)
        return self.count_on()

    def count_on(self) -> int:
        """Return how many frames there are, decoded from here on."""
        while self._advance():
            pass
        return self._number

    def _go_to(self, key: Key | None) -> None:
        if self._video is None or key is None:
            self._video = OpenVideo(self._source, self._num_threads)
        self._key, self._frame, self._number = key, None, key.number if key else 0
        try:
            self._frames = self._video.decode_from(
                key, self._by_decoding_time) if key else self._video.decode(
                    self._video.packets())
        except av.FFmpegError:
            raise OtherFramesError from None

    def _advance(self, must: bool = False) -> bool:
        """Decode the next frame, if there is one, or as there must be."""
        key, is_key = self._key, self._key and self._number == self._key.number
        try:
            frame = next(self._frames, None)
            while is_key and frame and frame.pts is not None and frame.pts < key.time:
                frame = next(self._frames, None)  # one of the group before
        except (av.FFmpegError, DecodingError):
            if key:
                raise OtherFramesError from None
            raise
        if frame is None and not must:
            return False
        if frame is None or self._times and (
                self._times[self._number:self._number + 1] != [frame.pts]):
            raise OtherFramesError
        if key and (frame.is_corrupt or is_key and not frame.key_frame
                    or frame.interlaced_frame
                    and codec_name(self._video.stream) not in FIELDS):
            raise OtherFramesError
        self._frame = frame
        self._number += 1
        return True
