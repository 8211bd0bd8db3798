"""Decode the frames of a video that are asked for, and no others."""
from collections.abc import Iterator, Sequence
from itertools import count, islice
from types import SimpleNamespace

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .decoding_errors import DecodingError, codec_name
from .packets import (
    FrameCursor,
    Key,
    Listing,
    OpenVideo,
    OtherFramesError,
    list_packets,
)
from .shown_frames import ShownFrames, is_even

# A packet is a frame and says its time here, which tells the frame from its
# neighbours after a jump to a key frame.
JUMP_CONTAINERS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')
JUMP_CODECS = ('av1', 'h264', 'hevc', 'mjpeg', 'mpeg4', 'prores', 'vp8', 'vp9')
# Elsewhere, once the first frames and the last ones were seen to be as listed.
MORE_JUMP_CODECS = (
    *JUMP_CODECS, 'dvvideo', 'ffvhuff', 'flv1', 'huffyuv', 'mpeg1video', 'mpeg2video',
    'msmpeg4v2', 'msmpeg4v3', 'wmv1', 'wmv2')
FIRST_FRAMES = 32
MOST_DELAYED = 16  # frames that a decoder of one thread holds back
HELD_BYTES = 2**28  # of decoded frames, held between counting and reading


class VideoReader:
    """The frames of a video, by their number, as a player shows them.

    Frame i is the i-th that a decoder gives which starts at the first and leaves none
    out. In MP4 and Matroska, with the usual codecs, key frames are jumped to, and the
    times of the frames that come then are compared with those in the file. It has what
    the zoo's ``DecordDecode`` calls.

    Of all other videos, those whose frames fit in :data:`HELD_BYTES` are decoded at
    once. The packets of a larger one say how many frames there are, and when. The first
    frames, and the last ones, where jumps lead to them, are decoded to see whether that
    is so; then it is read by jumps or in order. A frame that comes at another time puts
    an end to the jumps. One that does so in order has all frames counted: length and
    times may then be others, so that what was computed by them is to be compared, after
    :meth:`finish`.
    """

    def __init__(self, source: str | bytes, num_threads: int = 1) -> None:
        self._source = source
        self._num_threads = num_threads
        self._total = 0
        self._times: list[int] = []  # of all frames, as the packets say
        self._keys: list[Key] = []  # none where jumps are not safe
        self._seen: list[int | None] = []  # times, where all were decoded
        self._held: list[av.VideoFrame] = []
        self._is_listed = False  # by a container that is believed
        self._is_counted = False  # all were decoded
        self._ends_there = False  # the packets' last frame is the last
        video = OpenVideo(source, num_threads)
        stream = video.stream
        self._codec = codec_name(stream)
        self._to_rgb = ShownFrames(video.container, stream, num_threads).to_rgb
        self._fps = stream.average_rate
        self._guessed_fps = stream.guessed_rate
        self._time_base = stream.time_base
        self._by_pts = video.container.format.name in JUMP_CONTAINERS
        if (self._by_pts and self._codec in JUMP_CODECS
                # Not fields, as far as PyAV (from 18 on) says it.
                and getattr(stream.codec_context, 'field_order', 0) < 2):
            found = list_packets(video)
            if found and found.is_clean:
                self._total, self._times, self._keys = found[:3]
                self._is_listed = self._ends_there = True
        is_small = _frame_bytes(video) <= HELD_BYTES
        video.close()
        self._cursor = self._new_cursor()
        if not self._total and not (is_small and self._decode_all(hold=True)):
            self._believe_packets()

    def __len__(self) -> int:
        return self._total

    def get_avg_fps(self) -> float:
        """Return the frames in a second, on average; 0 if nothing says."""
        return float(self._fps or self._guessed_fps or 0)

    def get_seconds(self) -> np.ndarray:
        """Return when frames are shown, from the first on, and when the video ends.

        In seconds, float64 (frames + 1, ): as the file says, or by the rate where it
        says nothing that ascends.
        """
        fps = self.get_avg_fps()
        if fps <= 0:
            raise DecodingError('says no frame rate')
        times = self._times or self._seen
        if len(times) != self._total or None in times or np.any(np.diff(times) <= 0):
            return np.arange(self._total + 1) / fps
        seconds = (np.array(times) - times[0]) * float(self._time_base)
        # Where the rate changes, the last frame is shown as long as the one before.
        last = 1 / fps if is_even(seconds, fps) else seconds[-1] - seconds[-2]
        return np.append(seconds, seconds[-1] + last)

    def decode_grey(self) -> Iterator[np.ndarray]:
        """Decode all frames in order, grey, uint8 (H, W)."""
        reformatter = VideoReformatter()  # as of write_mp4
        for frame in self._decode_in_order():
            yield reformatter.reformat(frame, format='gray').to_ndarray()

    def get_batch(self, indices: Sequence[int]) -> SimpleNamespace:
        """Decode frames; ``asnumpy()`` gives them in RGB, uint8 (N, H, W, 3)."""
        indices = np.ravel(indices).tolist()
        wanted = sorted(set(indices))
        images = None
        while images is None:
            if wanted[0] < 0 or wanted[-1] >= self._total:
                raise DecodingError(f'has {self._total} frames, so none of number '
                                    f'{wanted[0] if wanted[0] < 0 else wanted[-1]}')
            try:
                images = {i: self._to_rgb(self._held[i] if self._held else
                                          self._cursor.read(i)) for i in wanted}
            except OtherFramesError:
                self._believe_less()
        batch = np.stack([images[index] for index in indices])
        return SimpleNamespace(asnumpy=lambda: batch)

    def in_order(self) -> Iterator[tuple[np.ndarray, float | None]]:
        """Decode all frames, once; each with its time in seconds, if it has one."""
        for frame in self._held or self._decode_in_order():
            # That of the stream: frames that are flushed have none of their own.
            yield self._to_rgb(frame), None if frame.pts is None else float(
                frame.pts * self._time_base)

    def finish(self) -> None:
        """Decode what follows the frame read last, for true length and times."""
        while not (self._is_counted or self._ends_there):
            try:
                self._cursor.read(self._total - 1)
                self._ends_there = self._cursor.count_on() == self._total
            except OtherFramesError:
                self._ends_there = False
            if not self._ends_there:
                self._believe_less()

    def _believe_packets(self) -> None:
        """Take what packets say for the frames, or count these where it is not."""
        video = OpenVideo(self._source, self._num_threads)
        found = list_packets(video)
        video.close()
        if found is None or not self._begins_with(found):
            self._decode_all()
        elif self._keys:
            try:
                self._total = self._cursor.find_end()  # maybe where it is cut off
                self._times = self._times[:self._total]
                self._ends_there = True
            except OtherFramesError:
                self._believe_less()
                if not found.is_whole:
                    self._decode_all()

    def _begins_with(self, found: Listing) -> bool:
        """Compare the first frames with what packets say, and keep what is right."""
        video, sent = OpenVideo(self._source, self._num_threads), count()
        frames = video.decode(packet for packet, _ in zip(video.packets(), sent))
        seen = [frame.pts for frame in islice(frames, FIRST_FRAMES)]
        if len(seen) < FIRST_FRAMES:
            return False
        # A recording begins anywhere, with frames that lack those before them.
        first = found.times.index(seen[0]) if seen[0] in found.times else 0
        if seen == found.times[first:first + len(seen)]:
            self._times = found.times[first:]
            if self._codec in MORE_JUMP_CODECS:
                self._keys = [key._replace(number=key.number - first)
                              for key in found.keys  # known by their places
                              if key.number >= first and key.position is not None]
        elif next(sent) - len(seen) > MOST_DELAYED + self._num_threads:
            return False
        if not (self._keys or found.is_whole):
            self._times = []
            return False
        self._total = found.count - first
        self._guess_rate(self._times or seen)
        self._cursor = self._new_cursor()
        return True

    def _believe_less(self) -> None:
        """Jump no more, or count all frames if they come in order already."""
        said = self._total
        if self._keys:
            self._keys = []
        elif self._is_counted or not self._decode_all() or (
                self._is_listed and self._total != said):
            raise DecodingError(f'is damaged: not all of its {said} frames can be '
                                f'decoded ({self._codec})')
        self._cursor = self._new_cursor()

    def _new_cursor(self) -> FrameCursor:
        return FrameCursor(self._source, self._num_threads, self._times, self._keys,
                           by_decoding_time=not self._by_pts)

    def _decode_in_order(self) -> Iterator[av.VideoFrame]:
        """Decode all frames, to the end or to where the file is cut off."""
        video, seen = OpenVideo(self._source, self._num_threads), []
        for frame in video.decode(video.packets()):
            seen.append(frame.pts)
            yield frame
        if seen != self._times:
            self._times, self._keys = [], []
            self._cursor = self._new_cursor()
        self._total, self._seen, self._is_counted = len(seen), seen, True
        self._guess_rate(seen)

    def _decode_all(self, hold: bool = False) -> bool:
        """Count the frames; hold them, or stop where they are too large for that."""
        size = 0
        for frame in self._decode_in_order():
            if hold:
                self._held.append(frame)
                size += sum(plane.buffer_size for plane in frame.planes)
                if size > HELD_BYTES:
                    self._held.clear()
                    return False
        if not self._total:
            raise DecodingError('none of its frames can be decoded (its codec '
                                f'is {self._codec})')
        return True

    def _guess_rate(self, times: Sequence[int | None]) -> None:
        if (not self._fps and times and None not in (times[0], times[-1])
                and times[-1] > times[0]):
            self._fps = (len(times) - 1) / ((times[-1] - times[0]) * self._time_base)


def _frame_bytes(video: OpenVideo) -> float:
    """Guess the bytes of all decoded frames by what the file says; 0 if nothing."""
    stream, seconds = video.stream, (video.container.duration or 0) / av.time_base
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    frames = stream.frames or seconds * float(stream.average_rate or 0)
    pixels = stream.codec_context.format
    return frames * stream.width * stream.height * (
        pixels.padded_bits_per_pixel if pixels else 12) / 8
