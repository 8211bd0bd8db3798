"""Write moments for other programs: a table, chapters, an edit list, subtitles."""
import csv
import io
import os
import re
from collections.abc import Callable, Sequence
from operator import attrgetter

from mmaction_centerclip.datasets.video.decoding_errors import decoding_errors
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import write_text

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
