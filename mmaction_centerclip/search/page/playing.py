"""Videos for a browser: which it plays as they are, and clips of the others."""
import hashlib
import os
import threading
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from mmaction_centerclip.datasets.video.decoding_errors import (
    codec_name,
    decoding_errors,
    open_media,
)
from mmaction_centerclip.datasets.video.shown_frames import is_mirrored
from mmaction_centerclip.search import Hit
from mmaction_centerclip.search.clips import cut_clip

__all__ = ['ClipFolder', 'media_type']

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
MOST_SECONDS = 120.  # of a clip: it is cut while somebody waits
MOST_CLIPS = 32


@lru_cache(maxsize=512)
def media_type(path: str, modified: int) -> str | None:
    """Return what a browser plays a file as; None where it may not.

    Args:
        path (str): The video.
        modified (int): When the file was, since results are kept.

    Raises:
        DecodingError: If it cannot be read.
    """
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
    """Clips that are cut when they are asked for, in a folder.

    Args:
        folder (str | os.PathLike): The folder, which must exist. The last
            :data:`MOST_CLIPS` clips stay in it.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()

    def cut(self, hit: Hit) -> Path:
        """Cut a moment, or the first :data:`MOST_SECONDS` of it.

        Args:
            hit (Hit): The moment.

        Returns:
            Path: An MP4 file with H.264.

        Raises:
            DecodingError: If the video cannot be read.
            InputError: If it has no frames then.
        """
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
