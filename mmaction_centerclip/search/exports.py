"""Write moments for other programs: lists, chapters, subtitles, and clips."""
import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

import numpy as np

from mmaction_centerclip.datasets.video.decoding_errors import decoding_errors
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import atomic_write, check_absent, write_text
from mmaction_centerclip.utils.mp4 import write_mp4

from .ranking import Hit

RATES = (1, 99)  # frames a second that a timecode has digits for
USUAL_RATE = 25.
Name = Callable[[Hit], str]


def export_hits(hits: Sequence[Hit], path: str | os.PathLike, title: str = '') -> None:
    """Write moments to a file, over one that is there, see :func:`format_hits`."""
    path = os.fspath(path)
    kind = os.path.splitext(path)[1]
    if kind not in FORMATS:
        raise InputError(f'{path}: expected a .csv (table), .txt (chapters), .edl '
                         '(edit list) or .srt (subtitles) file')
    write_text(format_hits(hits, kind, title), path)


def format_hits(hits: Sequence[Hit], kind: str, title: str = '',
                name: Name = attrgetter('file')) -> str:
    """Return moments as a text of a kind of :data:`FORMATS`.

    ``'.csv'`` has ``file``, ``start``, ``end`` and ``score``. ``'.txt'`` are chapters
    as FFmpeg reads them, and ``'.srt'`` subtitles, each called ``title``; of one video.
    ``'.edl'`` is an edit list of CMX 3600 with the moments in their order, at the frame
    rate of the first one's file, which is opened for it. ``name`` is what a moment's
    file is called in it.
    """
    files = {hit.file for hit in hits}
    if kind in ('.txt', '.srt') and len(files) != 1:
        raise InputError(f'chapters and subtitles are of one video, got moments of '
                         f'{len(files)}; filter them by file')
    return FORMATS[kind](hits, ' '.join(title.split()) or 'moment', name)


def _table(hits: Sequence[Hit], title: str, name: Name) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator='\n')
    writer.writerow(['file', 'start', 'end', 'score'])
    writer.writerows([name(hit), f'{hit.start:.3f}', f'{hit.end:.3f}',
                      f'{hit.score:.4f}'] for hit in hits)
    return table.getvalue()


def _chapters(hits: Sequence[Hit], title: str, name: Name) -> str:
    title = re.sub(r'([=;#\\])', r'\\\1', title)
    return ';FFMETADATA1\n' + ''.join(
        f'[CHAPTER]\nTIMEBASE=1/1000\nSTART={round(hit.start * 1000)}\n'
        f'END={round(hit.end * 1000)}\ntitle={title}\n' for hit in _in_order(hits))


def _subtitles(hits: Sequence[Hit], title: str, name: Name) -> str:
    return '\n'.join(
        f'{number}\n{_clock(hit.start)} --> {_clock(hit.end)}\n{title}\n'
        for number, hit in enumerate(_in_order(hits), 1))


def _in_order(hits: Sequence[Hit]) -> list[Hit]:
    return sorted(hits, key=attrgetter('start'))


def _clock(seconds: float) -> str:
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f'{_hours(whole)},{thousandths:03}'


def _hours(seconds: int) -> str:
    return f'{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}'


def _edit_list(hits: Sequence[Hit], title: str, name: Name) -> str:
    """Count frames as non-drop-frame timecode does: 30 a "second" of 29.97."""
    if not hits:
        raise InputError('an edit list needs a moment, got none')
    with decoding_errors(hits[0].file, everything=True):
        rate = VideoReader(hits[0].file).get_avg_fps()
    if not RATES[0] <= rate <= RATES[1]:
        rate = USUAL_RATE

    def timecode(frame: int) -> str:
        seconds, frames = divmod(frame, round(rate))
        return f'{_hours(seconds)}:{frames:02}'

    lines, place = [f'TITLE: {title}', 'FCM: NON-DROP FRAME', ''], 0
    for number, hit in enumerate(hits, 1):
        start = round(hit.start * rate)
        length = max(1, round(hit.end * rate) - start)
        times = map(timecode, (start, start + length, place, place + length))
        lines += [f'{number:03}  AX       V     C        {" ".join(times)}',
                  f'* FROM CLIP NAME: {os.path.basename(name(hit))}', '']
        place += length
    return '\n'.join(lines)


FORMATS = {'.csv': _table, '.txt': _chapters, '.edl': _edit_list, '.srt': _subtitles}


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
