"""Read what a video file says of itself, and whether it was cut off."""
import contextlib
import importlib.util
import os
import os.path as osp
import sys
from collections.abc import Iterator

import av
import cv2

from mmaction_centerclip.datasets.video.decoding_errors import MISTAKES
from mmaction_centerclip.datasets.video.media_files import codec_name, open_media
from mmaction_centerclip.datasets.video.video_reader import VideoReader

__all__ = ['find_decoders', 'guess_kind', 'probe_file']

KINDS = ((b'PK\3\4', 'a zip archive'), (b'\x1f\x8b', 'a gzip archive'),
         (b'%PDF', 'a PDF'), (b'\x89PNG', 'a PNG picture'),
         (b'\xff\xd8\xff', 'a JPEG picture'))


def probe_file(path: str) -> dict:
    """Read the header and the packets of a video, without decoding.

    Args:
        path (str): A file that is there.

    Returns:
        dict: ``size`` in bytes; of a video also ``container``, ``codec``,
        ``width``, ``height``, ``rate``, ``duration`` in seconds, ``packets``,
        and ``cut_off``, why the file seems to end too early, or None. Where
        a container does not say how long it should be (MPEG-TS, MPEG-PS), it
        is always None.
    """
    facts: dict = dict(size=osp.getsize(path))
    with contextlib.suppress(av.FFmpegError, OSError), open_media(path) as container:
        stream = container.streams.best('video')
        if stream is None:
            return facts
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        facts.update(
            container=container.format.name, codec=codec_name(stream),
            width=stream.width, height=stream.height, rate=round(rate, 3),
            duration=_declared_duration(container, stream))
        count, end, fault = _read_packets(container, stream)
        facts['packets'] = count
        if facts['duration'] is None:
            facts['duration'] = round(end, 3) or None
        facts['cut_off'] = fault or _is_short(facts, end, stream.frames) or (
            container.format.name == 'gif' and _gif_fault(path)) or None
    return facts


def _declared_duration(container: av.container.InputContainer,
                       stream: av.VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return round(float(stream.duration * stream.time_base), 3)
    if container.duration and len(container.streams) == 1:
        return round(container.duration / av.time_base, 3)
    return None


def _read_packets(container: av.container.InputContainer,
                  stream: av.VideoStream) -> tuple[int, float, str | None]:
    """Count packets; the end of the last in seconds, and what is wrong."""
    count, end, fault = 0, 0.0, None
    begin = stream.start_time or 0
    try:
        for packet in container.demux(stream):
            if packet.size or packet.dts is not None:
                count += 1
            if packet.is_corrupt:
                fault = f'packet {count} is not complete'
            if packet.pts is not None:
                end = max(end, float((packet.pts - begin + (packet.duration or 0))
                                     * packet.time_base))
    except av.FFmpegError as error:
        fault = f'after {count} packets: {error.strerror}'
    return count, end, fault


def _is_short(facts: dict, end: float, promised: int) -> str | None:
    """Compare what is there with what the header says."""
    duration, rate = facts['duration'], facts['rate']
    # The index of an MP4 names packets, and reading one that is gone is a fault.
    if facts['container'].startswith('mov,') or not duration or not rate:
        return None
    if facts['packets'] < promised:
        return f'{facts["packets"]} of {promised} packets are there'
    # FLV's duration is of other packets than the frames.
    if end >= duration - (2.5 if facts['container'] == 'flv' else 1.5) / rate:
        return None
    return f'{end:.2f} of {duration:.2f} s are there'


def _gif_fault(path: str) -> str | None:
    """Look at the last byte: nothing else tells that pictures are lost."""
    with open(path, 'rb') as file:
        file.seek(-1, os.SEEK_END)
        return None if file.read() == b';' else 'its last byte is not that of a GIF'


def guess_kind(path: str) -> str | None:
    """Guess what a file is that cannot be read.

    Returns:
        str | None: Such as ``'a page of HTML'``; None for no idea.
    """
    with open(path, 'rb') as file:
        head = file.read(4096)
    if not head.strip(b'\0'):
        return 'nothing but zeros' if head else 'an empty file'
    if head.lstrip()[:15].lower().startswith((b'<!doctype html', b'<html')):
        return 'a page of HTML'
    for begin, kind in KINDS:
        if head.startswith(begin):
            return kind
    if head[4:8] == b'ftyp':
        return None if 'codec' in probe_file(path) else (
            'an MP4 without its whole index, cut off')
    text = head.decode('utf-8', errors='ignore')
    is_text = len(text.encode()) > len(head) - 4 and not set(text) & set(
        map(chr, range(9)))  # the last letter may be cut
    return 'a text' if is_text else None


def find_decoders(path: str) -> list[str]:
    """List the decoders that give a first frame of a file.

    Whether it is the right one, and those behind it, is another matter: see
    docs/data.md.
    """
    tries = dict(VideoInit=lambda: VideoReader(path).get_batch([0]))
    if importlib.util.find_spec('decord'):
        import decord
        tries['decord'] = lambda: decord.VideoReader(path)[0]
    tries['OpenCV'] = lambda: _read_opencv(path)
    found = []
    with _silence():
        for name, read in tries.items():
            try:
                read()
            except MISTAKES:
                raise
            except Exception:
                continue
            found.append(name)
    return found


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the libraries below Python say of a file from the screen."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, 'wb') as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _read_opencv(path: str) -> None:
    capture = cv2.VideoCapture(path)
    try:
        if not capture.read()[0]:
            raise OSError
    finally:
        capture.release()
