"""Read captions that people have beside their videos: tables, JSON, subtitles."""
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mmaction_centerclip.errors import InputError, Problems
from mmaction_centerclip.utils.files import VIDEO_SUFFIXES

from .annotation_file import AnnotationEntry
from .subtitles import (
    SUFFIXES,
    choose_subtitles,
    find_subtitles,
    read_subtitles,
    split_language,
)
from .text_files import find_files, read_csv, read_lines

KEYS = ('video', 'caption', 'start', 'end', 'split')
_TABLES = ('.csv', '.tsv', '.txt')
_HINT = ('save it as UTF-8 (spreadsheets call it CSV UTF-8), or say its encoding with '
         '--encoding, such as cp1252')
_DECIMAL = re.compile(r'[-+]?\d*[.,]\d+')
# A number that may be a thousand times as large: its mark may be of groups of digits.
_GROUPED = re.compile(r'[1-9]\d{0,2}[.,]\d{3}')
# A row: where it stands, for messages, and its video, caption, start, end and split.
Row = tuple[str, dict[str, object]]


def find_videos(folder: str) -> list[str]:
    """List the video files of a folder and the folders in it, by their suffix."""
    return find_files(folder, VIDEO_SUFFIXES)


def read_own_captions(
        folder: str, path: str | None = None, language: str | None = None,
        encoding: str | None = None
) -> tuple[list[AnnotationEntry], dict[str, str]]:
    """Read the captions of the videos of a folder, and the split of each that has one.

    All that is malformed is told at once.

    Args:
        folder (str): The folder of the videos.
        path (str, optional): A file of a form of ``tools/data/own/prepare_own.py``.
            Defaults to None: subtitles, or a ``.txt`` with a caption a line, beside
            each video.
        language (str, optional): That of the subtitles beside the videos, as in
            ``film.en.srt``. Defaults to None: all have the same.
        encoding (str, optional): That of files which are not UTF-8 and do not begin
            with a mark. Defaults to None, with which they are refused.
    """
    text = dict(encoding=encoding, hint=_HINT)
    with Problems() as problems:
        rows = list(_read_beside(folder, language, problems, text) if path is None
                    else _read_file(path, folder, problems, text))
        clips, splits = _sort_rows(rows, folder, problems)
        problems.check()
        if not clips:
            raise InputError(
                f'{path or folder} has no captions; expected a .csv, .jsonl, .srt or '
                '.vtt file, or a .srt, .vtt or .txt beside each video')
    return [AnnotationEntry(video, captions, _name_clip(video, start, end), start, end)
            for (video, start, end), captions in clips.items()], splits


def _sort_rows(rows: list[Row], folder: str, problems: Problems) -> tuple[
        dict[tuple, list[str]], dict[str, str]]:
    """Return the captions of each clip and the splits of the videos."""
    clips: dict[tuple, list[str]] = {}
    splits: dict[str, str] = {}
    for place, row in rows:
        with problems.of(place):
            _check_row(row, folder)
            clip = row['video'], row.get('start') or None, row.get('end')
            clips.setdefault(clip, []).append(row['caption'])
            if row.get('split') and splits.setdefault(
                    row['video'], row['split']) != row['split']:
                raise InputError(f'{row["video"]} is in the split '
                                 f'{splits[row["video"]]!r} already, got '
                                 f'{row["split"]!r}')
    return clips, splits


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
    # To a thousandth of a second, as subtitles have it, for a day.
    return f'{video}#{start or 0:.8g}-{"" if end is None else f"{end:.8g}"}'


def _check_row(row: dict[str, object], folder: str) -> None:
    """Check the cells of a row, and turn its numbers into numbers, in place."""
    unknown = set(row) - set(KEYS)
    if unknown:
        raise InputError(f'expected {", ".join(KEYS)}, got {sorted(unknown)}')
    with Problems() as problems:
        for name in ('video', 'caption'):
            if not _is_text(row.get(name)):
                problems.add(f'{name} must be a text that is not empty, got '
                             f'{row.get(name)!r}')
            elif name == 'video' and not os.path.isfile(
                    os.path.join(folder, row['video'])):
                problems.add(f'there is no video {row["video"]} in {folder}')
        for name in ('start', 'end'):
            value = row.get(name)
            try:
                if isinstance(value, bool):
                    raise TypeError
                row[name] = None if value in (None, '') else float(value)
            except (OverflowError, TypeError, ValueError):
                problems.add(f'{name} must be seconds, got {str(value)[:80]!r}')
        if row.get('split') not in (None, '', 'train', 'val', 'test'):
            problems.add(f'split must be train, val or test, got {row["split"]!r}')
    if not os.path.isabs(row['video']):  # however it is written
        row['video'] = os.path.normpath(row['video']).replace(os.sep, '/')
    AnnotationEntry(row['video'], [row['caption']], 'the clip', row['start'],
                    row['end'])


def _is_text(value: object) -> bool:
    """Return True for a text with something in it, all of which can be written."""
    try:
        return isinstance(value, str) and bool(value.strip().encode())
    except UnicodeEncodeError:  # half of a character, which JSON can have
        return False


def _read_file(path: str, folder: str, problems: Problems, text: dict) -> Iterator[Row]:
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES:
        yield from _clips_of(path, _video_of(path, find_videos(folder)), problems, text)
    elif suffix == '.jsonl':
        yield from _read_jsonl(path, problems, text)
    elif suffix in _TABLES:
        yield from _read_table(path, problems, text)
    else:
        raise InputError(f'{path} must be a .csv, .tsv, .txt, .jsonl, .srt or .vtt '
                         'file')


def _read_table(path: str, problems: Problems, text: dict) -> Iterator[Row]:
    table = read_csv(path, ['video', 'caption'], problems, **text)
    if table.rows and not set(table.rows[0][1]) <= set(KEYS):
        raise InputError(f'{path}: expected the titles {", ".join(KEYS)}, got '
                         f'{", ".join(table.rows[0][1])!r}')
    numbers = [number for _, row in table.rows for name in ('start', 'end')
               if _DECIMAL.fullmatch(number := row.get(name, '').strip())]
    # Marks that some number has in another place than behind thousands.
    sure = {mark for number in numbers for mark in '.,'
            if mark in number and not _GROUPED.fullmatch(number)}
    commas = any(',' in number for number in numbers)
    if table.separator == ',' and not commas:
        sure.add('.')
    if table.separator == ';':
        sure.add(',')
    for line, row in table.rows:
        with problems.of(f'{path}, line {line}'):
            for name in ('start', 'end'):
                number = row.get(name, '').strip()
                if not _DECIMAL.fullmatch(number):
                    continue
                if not sure & set(number) or commas and '.' in number:
                    raise InputError(
                        f'{name} must be seconds, such as 1500 or 1.5, with one mark '
                        f'in all rows, got {number!r}, which may be either; between '
                        'commas a dot is always decimal')
                row[name] = number.replace(',', '.')
            yield f'{path}, line {line}', row


def _read_jsonl(path: str, problems: Problems, text: dict) -> Iterator[Row]:
    for line, content in read_lines(path, **text):
        with problems.of(f'{path}, line {line}'):
            try:
                row = json.loads(content)
            except (RecursionError, ValueError) as error:
                raise InputError(f'not JSON ({error})') from None
            if not isinstance(row, dict):
                raise InputError('expected an object with a video and a caption, got '
                                 f'{content[:80]!r}')
            yield f'{path}, line {line}', row


def _read_beside(folder: str, language: str | None, problems: Problems,
                 text: dict) -> Iterator[Row]:
    """Read the subtitles of each video, or else the text that is beside it."""
    videos = find_videos(folder)
    chosen = choose_subtitles(find_subtitles(folder, videos), language, problems)
    for video in videos:
        text_file = Path(folder, video).with_suffix('.txt')
        with problems.of():  # of a file as a whole
            if video in chosen:
                yield from _clips_of(chosen[video], video, problems, text)
            elif text_file.is_file():
                for line, caption in read_lines(str(text_file), **text):
                    yield f'{text_file}, line {line}', dict(
                        video=video, caption=caption.strip())


def _video_of(path: str, videos: list[str]) -> str:
    for stem in Path(path).stem, split_language(path)[0]:
        found = [video for video in videos if Path(video).stem == stem]
        if found:
            break
    if len(found) != 1:
        raise InputError(f'{path} must be named as one video of the folder, got '
                         f'{len(found)} of that name')
    return found[0]


def _clips_of(path: str, video: str, problems: Problems, text: dict) -> Iterator[Row]:
    for cue in read_subtitles(path, problems, **text):
        yield f'{path}, line {cue.line}', dict(
            video=video, caption=cue.text, start=cue.start, end=cue.end)
