"""Write moments: as a clip, as a table, as chapters."""
import csv
import io
import os
from collections.abc import Iterator, Sequence

import numpy as np

from mmaction_centerclip.datasets.video.decoding_errors import decoding_errors
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import atomic_write, check_absent, write_text
from mmaction_centerclip.utils.mp4 import write_mp4

from .ranking import Hit


def cut_clip(hit: Hit, path: str | os.PathLike) -> None:
    """Write the pictures of a moment to a new MP4 file, encoded anew (H.264).

    It begins at the in point, not at the key frame before, and has no sound.
    """
    path = os.fspath(path)
    if not path.endswith('.mp4'):
        raise InputError(f'{path}: a clip must be an .mp4 file')
    check_absent(path)
    with decoding_errors(hit.file):
        reader = VideoReader(hit.file)
        seconds = reader.get_seconds()
        frames, times, end = _shown(seconds, hit.start, hit.end)
        if not frames:
            raise InputError(f'{hit.file} has no frames from {hit.start} to '
                             f'{hit.end} seconds')
        with atomic_write(path) as partial:
            write_mp4(partial, zip(_pictures(reader, frames), times), end,
                      reader.get_avg_fps())


def _shown(seconds: np.ndarray, start: float,
           end: float) -> tuple[list[int], list[float], float]:
    """Find the frames that are on the screen from a time to another, to half a frame.

    Return their numbers, the times at which they start in the clip, and its end.
    """
    lasts = np.diff(seconds)
    half = np.minimum(lasts, np.median(lasts)) / 2
    frames = np.flatnonzero((seconds[1:] - start > half) & (seconds[:-1] < end - half))
    if not len(frames):
        return [], [], 0.
    first = frames[0]
    # One that is half over begins the clip.
    first = seconds[first] if seconds[first] > start - half[first] - 1e-6 else start
    times = np.maximum(seconds[frames] - first, 0)
    return frames.tolist(), times.tolist(), float(
        min(seconds[frames[-1] + 1], end) - first)


def _pictures(reader: VideoReader, frames: list[int]) -> Iterator[np.ndarray]:
    for place in range(0, len(frames), 32):  # a bounded number at a time
        yield from reader.get_batch(frames[place:place + 32]).asnumpy()


def export_hits(hits: Sequence[Hit], path: str | os.PathLike) -> None:
    """Write moments to a ``.csv`` or ``.txt`` file, over one that is there.

    The first has ``file``, ``start``, ``end`` and ``score``, the other chapters.
    """
    path = os.fspath(path)
    if path.endswith('.csv'):
        table = io.StringIO()
        writer = csv.writer(table, lineterminator='\n')
        writer.writerow(['file', 'start', 'end', 'score'])
        writer.writerows([hit.file, f'{hit.start:.3f}', f'{hit.end:.3f}',
                          f'{hit.score:.4f}'] for hit in hits)
        return write_text(table.getvalue(), path)
    if not path.endswith('.txt'):
        raise InputError(f'{path}: expected a .csv (table) or .txt (chapters) file')
    files = {hit.file for hit in hits}
    if len(files) != 1:
        raise InputError(f'{path}: chapters are of one video, got moments of '
                         f'{len(files)}; filter them by file')
    lines = [';FFMETADATA1']
    for hit in sorted(hits, key=lambda hit: hit.start):
        lines += ['[CHAPTER]', 'TIMEBASE=1/1000', f'START={round(hit.start * 1000)}',
                  f'END={round(hit.end * 1000)}', f'title={hit.score:.4f}']
    write_text('\n'.join(lines) + '\n', path)
