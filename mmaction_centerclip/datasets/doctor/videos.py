"""Read one video as the training would, and what its file says of itself."""
import contextlib
import importlib.util
import os
import os.path as osp
import sys
import time
from collections.abc import Iterator

import av
import cv2
from mmaction.datasets.base import BaseActionDataset

from mmaction_centerclip.datasets import VideoTextRetrievalDataset
from mmaction_centerclip.datasets.samples import SamplePipeline
from mmaction_centerclip.datasets.video.decoding_errors import (
    MISTAKES,
    DecodingError,
    codec_name,
    open_media,
)
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.utils.tables import format_bytes, format_seconds

# From the worst on; a video has one of them.
STATES = dict(
    missing='not there', empty='of zero length', unreadable='cannot be read',
    cut_off='ends too early', short='has fewer frames than asked for', ok='in order')
KINDS = ((b'PK\3\4', 'a zip archive'), (b'\x1f\x8b', 'a gzip archive'),
         (b'%PDF', 'a PDF'), (b'\x89PNG', 'a PNG picture'),
         (b'\xff\xd8\xff', 'a JPEG picture'))
SEGMENT = b'\x18\x53\x80\x67'  # the id of what a Matroska file holds
_WARM: set[int] = set()  # data sets whose pipeline has run once in this process


def key_of(sample: dict, pipeline: str) -> str:
    """Name a video and how it is read, so that a change of either is seen."""
    try:
        facts = os.stat(sample['filename'])
        version = f'{facts.st_size} {facts.st_mtime_ns}'
    except OSError:
        version = 'missing'
    return f'{sample["filename"]} {sample.get("clip")} {version} {pipeline}'


def examine_video(dataset: BaseActionDataset, sample: dict) -> dict:
    """Take a sample of a :class:`DataSplit` through the pipeline of its data set.

    To what :func:`probe_file` says it adds ``state``, one of ``STATES``, and
    ``reason``; ``seconds`` that the pipeline took; of what cannot be read, the
    ``decoders`` that can; ``frames`` of the video or clip, and ``wanted``; ``shape`` of
    what a batch has.
    """
    path = sample['filename']
    if '://' not in path:
        if not osp.lexists(path):
            return dict(state='missing', reason='no such file')
        if not osp.isfile(path):
            return dict(state='unreadable', reason='not a regular file')
        if osp.getsize(path) == 0:
            return dict(state='empty', reason='the file is empty', size=0)
    facts = {} if '://' in path else probe_file(path)
    info = dict(sample, text=list(sample['text']), sample_idx=0,
                modality=dataset.modality, start_index=dataset.start_index)
    try:
        if id(dataset) not in _WARM:  # A tokenizer is loaded when it is first used.
            _run_pipeline(dataset, dict(info))
            _WARM.add(id(dataset))
        start = time.perf_counter()
        imgs = _run_pipeline(dataset, info)
    except DecodingError as error:
        kind = guess_kind(path) if facts else None
        facts.update(state='unreadable',
                     reason=error.reason + (f'; it is {kind}' if kind else ''),
                     decoders=find_decoders(path) if facts else [])
        return facts
    facts['seconds'] = round(time.perf_counter() - start, 6)
    if hasattr(imgs, 'shape'):
        facts['shape'] = list(imgs.shape)
    for fact, key in (('frames', 'total_frames'), ('wanted', 'clip_len')):
        if key in info:
            facts[fact] = int(info[key])
    if facts.get('cut_off'):
        return dict(facts, state='cut_off', reason=facts['cut_off'])
    if facts.get('frames', 1) < facts.get('wanted', 1):
        return dict(facts, state='short', reason=f'has {facts["frames"]} frames, '
                    f'{facts["wanted"]} are asked for')
    return dict(facts, state='ok', reason='')


def _run_pipeline(dataset: BaseActionDataset, info: dict) -> object:
    """Return the frames that the pipeline packs; it writes to what it is given."""
    if isinstance(dataset, VideoTextRetrievalDataset):
        data = dataset.run_pipeline(info, dict(filename=info['filename']))
    else:
        data = SamplePipeline(dataset.pipeline.transforms)(info)
    inputs = data['inputs']
    return inputs.get('imgs') if isinstance(inputs, dict) else inputs


def probe_file(path: str) -> dict:
    """Read the header and the packets of a video, without decoding.

    The dict has ``size`` in bytes; of a video also ``container``, ``codec``, ``width``,
    ``height``, ``rate``, ``duration`` in seconds, ``packets``, and ``cut_off``, why it
    seems to end too early. MPEG-TS and MPEG-PS do not say that: it is None.
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
        facts['cut_off'] = (fault or _lacks_frames(facts, end, stream.frames)
                            or _lacks_bytes(facts, path))
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


def _lacks_frames(facts: dict, end: float, promised: int) -> str | None:
    duration, rate = facts['duration'], facts['rate']
    # The index of an MP4 names packets, and reading one that is gone is a fault.
    if facts['container'].startswith('mov,') or not duration or not rate:
        return None
    if facts['packets'] < promised:
        return f'{facts["packets"]} of {promised} packets are there'
    # FLV's duration is of other packets than the frames.
    if end >= duration - (2.5 if facts['container'] == 'flv' else 1.5) / rate:
        return None
    return (f'the last {format_seconds(duration - end)} of {format_seconds(duration)} '
            'are missing')


def _lacks_bytes(facts: dict, path: str) -> str | None:
    """Compare an AVI or Matroska file's size with its header's; find a GIF's end."""
    with open(path, 'rb') as file:
        head = file.read(256)
        file.seek(-1, os.SEEK_END)
        if facts['container'] == 'gif' and file.read() != b';':
            return 'its last byte is not that of a GIF'
    promised = 0
    if facts['container'] == 'avi':
        promised = 8 + int.from_bytes(head[4:8], 'little')
    elif facts['container'].startswith('matroska'):
        # The zeros before the first one of its bits tell the length of a size, of
        # which ones alone are no size (RFC 8794, Sec. 4 and 6).
        before, _, rest = head.partition(SEGMENT)
        length = 9 - rest[0].bit_length() if rest else 9
        size = int.from_bytes(rest[:length], 'big') & 2**(7 * length) - 1
        if length < 9 and size < 2**(7 * length) - 1:
            promised = len(before + SEGMENT) + length + size
    # RIFF may count a byte of padding that is not there.
    if promised > facts['size'] + 1:
        missing = format_bytes(promised - facts['size'])
        return f'the last {missing} of {format_bytes(promised)} are missing'
    return None


def guess_kind(path: str) -> str | None:
    """Guess what a file is that cannot be read, such as ``'a page of HTML'``."""
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
    """List decoders that give a first frame, maybe another one: see docs/data.md."""
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


def _read_opencv(path: str) -> None:
    if not cv2.VideoCapture(path).read()[0]:
        raise OSError


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
