"""Show a moment: a frame, the kept tokens, its video or a clip."""
import hashlib
import os
import threading
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv
import numpy as np
from mmengine.dataset import pseudo_collate
from torch import nn

from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    codec_name,
    decoding_errors,
    open_media,
)
from mmaction_centerclip.datasets.video.shown_frames import is_mirrored
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.search import Hit, VideoIndex
from mmaction_centerclip.search.exports import cut_clip
from mmaction_centerclip.visualization import (
    draw_tokens,
    see_tokens,
    tower_inputs,
    tower_of,
)

LARGEST = 480  # pixels of a thumbnail's longer side
TOUCHING = 1e-6  # seconds, by which a time may miss that of its frame
# What all of Chromium, Firefox and Safari play, by the name of the file.
PLAYED = {
    '.mp4': ('video/mp4', 'mov,mp4,m4a,3gp,3g2,mj2', ('h264', 'vp9', 'av1')),
    '.m4v': ('video/mp4', 'mov,mp4,m4a,3gp,3g2,mj2', ('h264', )),
    '.webm': ('video/webm', 'matroska,webm', ('vp8', 'vp9', 'av1')),
}
PIXELS = ('yuv420p', 'yuvj420p')  # 10 bits and 4:4:4 are not for all
# Seconds by which the first frame may be late. The clock of an index starts
# with it; those of browsers do or do not.
LATEST = 0.1
ALIKE = 10.  # of 255: how much a copy of a picture, of 16 x 16 pixels, may differ
MOST_SECONDS = 120.  # of a clip: it is cut while somebody waits
MOST_CLIPS = 32


class TokenPicture(NamedTuple):
    """The patches that a neck keeps of a moment's frames."""
    neck: str  # its kind
    kept: int  # patches behind it
    patches: int  # of those frames
    start: float  # of what the frames stand for, in seconds
    end: float
    png: bytes


@lru_cache(maxsize=512)
def thumbnail(path: str, time: float, modified: int) -> bytes:
    """Return the frame that a video shows at a time in seconds, as a small JPEG."""
    with decoding_errors(path, everything=True):
        reader, seconds = VideoReader(path), None
        # Again, where frames come at other times than the packets said.
        while not np.array_equal(seconds, seconds := reader.get_seconds()):
            number = _frame_at(seconds, time)
            frame = reader.get_batch([number]).asnumpy()[0]
    scale = min(1, LARGEST / max(frame.shape[:2]))
    if scale < 1:
        frame = mmcv.imrescale(frame, scale, interpolation='area')
    return _encode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 85])


def look_alike(first: Hit, second: Hit) -> bool:
    """Check whether the thumbnails of two moments show nearly the same picture."""
    small = []
    for hit in (first, second):
        try:
            content = thumbnail(hit.file, hit.middle, os.stat(hit.file).st_mtime_ns)
        except (DecodingError, OSError, ValueError):
            return False
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        small.append(cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA))
    return float(np.square(np.subtract(*small, dtype=float)).mean()) <= ALIKE**2


def _frame_at(seconds: np.ndarray, time: float) -> int:
    """Return the number of the frame that is shown at a time."""
    number = int(np.searchsorted(seconds, time + TOUCHING, side='right')) - 1
    return min(max(number, 0), len(seconds) - 2)


def shows_tokens(model: nn.Module | OnnxRetriever) -> bool:
    """Return True if a model has necks, and is not exported: that shows no token."""
    return not isinstance(model, OnnxRetriever) and bool(tower_of(model).necks)


def token_pictures(index: VideoIndex, hit: Hit) -> list[TokenPicture]:
    """Draw what each neck keeps of a moment: of the window that its middle is in.

    Of the frames that are sampled of the window, those inside the moment are drawn.
    """
    model = index.inferencer.model
    if not shows_tokens(model):
        return []
    tower = tower_of(model)
    video, seconds, windows = index.encoder.open(hit.file)
    at = _frame_at(seconds, hit.middle)
    first, end = next(window for window in windows if window[0] <= at < window[1])
    sample = index.inferencer.pipeline.prepare(video, first, end)
    inputs = tower_inputs(model, pseudo_collate([sample]), 1)
    sampled = np.asarray(sample['data_samples'].frame_inds)
    times = seconds[sampled]
    inside = (times > hit.start - TOUCHING) & (times < hit.end - TOUCHING)
    if inputs.frame_mask is not None:
        inside &= inputs.frame_mask[0].cpu().numpy()
    if not inside.any():
        inside = np.arange(len(sampled)) == np.abs(sampled - at).argmin()
    pictures = []
    for neck, view in zip(tower.necks, see_tokens(
            tower, inputs.imgs, inputs.frame_mask)):
        center, size = (x[0].cpu().numpy() for x in (view.center, view.size))
        own = inside.reshape(len(center), -1).any(1)  # of tubelets, too
        drawn = draw_tokens(inputs.frames[0], center, size, patch_pixels=32, shown=own)
        pictures.append(TokenPicture(
            type(neck).__name__, int((size[own] > 0).sum()), size[own].size,
            max(hit.start, float(seconds[first])), min(hit.end, float(seconds[end])),
            _encode('.png', drawn)))
    return pictures


def _encode(suffix: str, picture: np.ndarray, options: list[int] = ()) -> bytes:
    """Encode an RGB picture."""
    done, content = cv2.imencode(suffix, picture[..., ::-1], list(options))
    if not done:
        raise DecodingError('its picture cannot be encoded')
    return content.tobytes()


@lru_cache(maxsize=512)
def media_type(path: str, modified: int) -> str | None:
    """Return what a browser plays a file as; None where it may not."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in PLAYED:
        return None
    kind, container_name, codecs = PLAYED[suffix]
    with decoding_errors(path, everything=True), open_media(path) as container:
        videos = container.streams.video
        plays = (
            container.format.name == container_name and len(videos) == 1
            and codec_name(videos[0]) in codecs and videos[0].pix_fmt in PIXELS
            and abs((videos[0].start_time or 0) * videos[0].time_base) <= LATEST
            # Of the display matrix, Firefox knows the turns alone.
            and not any(map(is_mirrored, islice(container.decode(videos[0]), 1))))
    return kind if plays else None


class ClipFolder:
    """The last :data:`MOST_CLIPS` clips that were asked for, in an existing folder."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()

    def cut(self, hit: Hit) -> Path:
        """Cut a moment, or the first :data:`MOST_SECONDS` of it, as H.264 in MP4."""
        end = min(hit.end, hit.start + MOST_SECONDS)
        stat = os.stat(hit.file)
        key = f'{hit.file}\0{stat.st_mtime_ns}\0{hit.start}\0{end}'
        name = hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()
        path = self.folder / f'{name}.mp4'
        with self._lock:  # One at a time: each keeps a processor busy.
            if not path.exists():
                clips = sorted(self.folder.glob('*.mp4'),
                               key=lambda clip: clip.stat().st_mtime)
                for clip in clips[:max(0, len(clips) + 1 - MOST_CLIPS)]:
                    clip.unlink()
                cut_clip(replace(hit, end=end), path)
        return path
