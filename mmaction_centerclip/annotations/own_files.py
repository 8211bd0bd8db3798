"""Read captions that people have beside their videos: tables, JSON, subtitles."""
import hashlib
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mmaction_centerclip.errors import InputError, named_errors
from mmaction_centerclip.utils.files import VIDEO_SUFFIXES
from mmaction_centerclip.utils.logs import warn

from .annotation_file import AnnotationEntry
from .text_files import read_csv, read_lines

KEYS = ('video', 'caption', 'start', 'end', 'split')
_TIME = r'(\d{1,5}):(\d\d):(\d\d)[,.](\d{3})'
_TIMES = re.compile(rf'\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?')
# A row: where it stands, for messages, and its video, caption, start, end and split.
Row = tuple[str, dict[str, object]]


def find_videos(folder: str) -> list[str]:
    """List the video files of a folder and the folders in it, by their suffix."""
    names = []
    for root, _, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(root, name), folder) for name in files
                  if name.lower().endswith(VIDEO_SUFFIXES)]
    return sorted(name.replace(os.sep, '/') for name in names)


def read_own_captions(
        folder: str, path: str | None = None
) -> tuple[list[AnnotationEntry], dict[str, str]]:
    """Read the captions of the videos of a folder, and the split of each that has one.

    The forms of the file are those of ``tools/data/own/prepare_own.py``. None: a
    ``.srt``, or a ``.txt`` with a caption a line, beside each video.
    """
    videos = find_videos(folder)
    if path is None:
        rows = [row for video in videos for row in _read_beside(folder, video)]
    elif (suffix := Path(path).suffix.lower()) == '.srt':
        rows = list(_read_subtitles(path, _video_of(path, videos)))
    elif suffix == '.csv':
        rows = [(f'{path}, line {line}', row)
                for line, row in read_csv(path, ['video', 'caption'])]
    elif suffix == '.jsonl':
        rows = list(_read_jsonl(path))
    else:
        raise InputError(f'{path} must be a .csv, .jsonl or .srt file')
    if not rows:
        raise InputError(f'{path or folder} has no captions; expected a .csv, .jsonl '
                         'or .srt file, or a .srt or .txt beside each video')
    clips: dict[tuple, list[str]] = {}
    splits: dict[str, str] = {}
    for place, row in rows:
        _check_row(place, row, folder)
        clip = row['video'], row.get('start') or None, row.get('end')
        clips.setdefault(clip, []).append(row['caption'])
        if row.get('split') and splits.setdefault(
                row['video'], row['split']) != row['split']:
            raise InputError(f'{place}: {row["video"]} is in the split '
                             f'{splits[row["video"]]!r} already, got {row["split"]!r}')
    return [AnnotationEntry(video, captions, _name_clip(video, start, end), start, end)
            for (video, start, end), captions in clips.items()], splits


def split_by_video(videos: list[str], test_fraction: float,
                   seed: int = 0) -> dict[str, str]:
    """Assign videos to ``'train'`` and ``'test'``, whatever their order.

    Each has its place by a hash, so that most stay where they are when others come.
    At least one is to test on.
    """
    ranked = sorted(set(videos), key=lambda name: hashlib.sha256(
        f'{seed}/{name}'.encode()).digest())
    tests = max(1, round(len(ranked) * test_fraction))
    return {name: 'test' if rank < tests else 'train'
            for rank, name in enumerate(ranked)}


def _name_clip(video: str, start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return video
    return f'{video}#{start or 0:g}-{"" if end is None else f"{end:g}"}'


def _check_row(place: str, row: dict[str, object], folder: str) -> None:
    """Check a row, and turn its numbers into numbers, in place."""
    unknown = set(row) - set(KEYS)
    if unknown:
        raise InputError(f'{place}: expected {", ".join(KEYS)}, got {sorted(unknown)}')
    for name in ('video', 'caption'):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise InputError(f'{place}: {name} must be a text that is not empty, got '
                             f'{row.get(name)!r}')
    if not os.path.isfile(os.path.join(folder, row['video'])):
        raise InputError(f'{place}: there is no video {row["video"]} in {folder}')
    if not os.path.isabs(row['video']):  # however it is written
        row['video'] = os.path.normpath(row['video']).replace(os.sep, '/')
    for name in ('start', 'end'):
        value = row.get(name)
        try:
            if isinstance(value, bool):
                raise TypeError
            row[name] = None if value in (None, '') else float(value)
        except (OverflowError, TypeError, ValueError):
            raise InputError(f'{place}: {name} must be seconds, got '
                             f'{str(value)[:80]!r}') from None
    if row.get('split') not in (None, '', 'train', 'val', 'test'):
        raise InputError(f'{place}: split must be train, val or test, got '
                         f'{row["split"]!r}')
    with named_errors(place):
        AnnotationEntry(row['video'], [row['caption']], 'the clip', row['start'],
                        row['end'])


def _read_jsonl(path: str) -> Iterator[Row]:
    for line, text in read_lines(path):
        place = f'{path}, line {line}'
        try:
            row = json.loads(text)
        except (RecursionError, ValueError) as error:
            raise InputError(f'{place}: not JSON ({error})') from None
        if not isinstance(row, dict):
            raise InputError(f'{place}: expected an object with a video and a caption, '
                             f'got {text[:80]!r}')
        yield place, row


def _read_beside(folder: str, video: str) -> Iterator[Row]:
    """Read the subtitles of a video, or else the text that is beside it."""
    beside = Path(folder, video)
    if beside.with_suffix('.srt').is_file():
        yield from _read_subtitles(str(beside.with_suffix('.srt')), video)
    elif (text_file := beside.with_suffix('.txt')).is_file():
        for line, text in read_lines(str(text_file)):
            yield f'{text_file}, line {line}', dict(video=video, caption=text.strip())


def _video_of(path: str, videos: list[str]) -> str:
    found = [video for video in videos if Path(video).stem == Path(path).stem]
    if len(found) != 1:
        raise InputError(f'{path} must be named as one video of the folder, got '
                         f'{len(found)} of that name')
    return found[0]


def _read_subtitles(path: str, video: str) -> Iterator[Row]:
    """Read SubRip: a number, the times, lines of text, a blank line."""
    cues, before = [], []  # a cue: its line, its times, and its lines of text
    for number, text in read_lines(path, keep_blank=True):
        times = _TIMES.fullmatch(text)
        if times:
            _drop_number(before)
        elif '-->' in text:
            raise InputError(f'{path}, line {number}: expected times such as '
                             f'00:00:01,000 --> 00:00:02,500, got {text[:80]!r}')
        elif not cues and text.strip() and not text.strip().isdigit():
            raise InputError(f'{path}, line {number}: expected the number or the '
                             f'times of a subtitle, got {text[:80]!r}')
        if times:
            before = []
            cues.append((number, times.groups(), before))
        else:
            before.append(text)
    if ''.join(before[:-1]).strip() and not before[-2].strip():
        _drop_number(before)  # of a subtitle that was cut off
    empty = 0
    for number, times, lines in cues:
        caption = _shown_text(' '.join(lines))
        if not caption:
            empty += 1
            continue
        start, end = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)
                      + int(thousandths) / 1000 for hours, minutes, seconds, thousandths
                      in (times[:4], times[4:]))
        yield f'{path}, line {number}', dict(
            video=video, caption=caption, start=start, end=end)
    if empty:
        warn(f'{path}: dropped {empty} subtitles without a text')


def _drop_number(lines: list[str]) -> None:
    """Take a last line away that is the number of the next subtitle."""
    if lines and lines[-1].strip().isdigit():
        lines.pop()


def _shown_text(text: str) -> str:
    """Return a text as players show it, without tags, places and entities."""
    text = re.sub(r'\{\\[^}]*\}|\{/?[biusy](:[^}]*)?\}', '', text)
    text = re.sub(r'</?(?:[bicsuv]|font|lang|rt|ruby)\b[^>]*>', '', text,
                  flags=re.IGNORECASE)
    text = re.sub(r'\\[Nnh]', ' ', text)
    return ' '.join(html.unescape(text).split())
