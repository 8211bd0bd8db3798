"""Go through the frames of a video, and jump where that is safe."""
from bisect import bisect_right
from collections.abc import Sequence

import av

from .decoding_errors import DecodingError, codec_name
from .packets import Key, OpenVideo

# Decoders that begin with a key frame as well where frames are two fields.
FIELDS = ('dvvideo', 'mpeg2video')


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
