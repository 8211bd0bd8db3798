"""Read subtitles, SubRip and WebVTT, and find those of a video."""
import html
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mmaction_centerclip.errors import InputError, Problems, warn

from .text_files import find_files, read_lines

SUFFIXES = ('.srt', '.vtt')
OTHER = 3  # the rank of a language that was not asked for
_TIME = r'(?:(\d{1,5}):)?([0-5]\d):([0-5]\d)[,.](\d{3})'
_TIMES = re.compile(rf'\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?')
# Which is meant to be such a line, if its arrow has another form.
_LIKE_TIMES = re.compile(r'\s*(\d+:[\d:]+[,.]\d{1,3}\s*\W{1,3}\s*){2}')
# In a name such as film.en.srt or film.pt-BR.vtt.
_LANGUAGE = re.compile(r'[A-Za-z]{2,3}([-_][A-Za-z\d]{2,8})*')


class Cue(NamedTuple):
    """A subtitle: the line of its times, them in seconds, and what is shown."""
    line: int
    start: float
    end: float
    text: str


def read_subtitles(path: str, problems: Problems, **kwargs) -> Iterator[Cue]:
    """Read the subtitles of a file as players show them, and count the empty ones.

    ``problems`` takes what is malformed; ``kwargs`` are those of ``read_text``.
    """
    lines = list(read_lines(path, keep_blank=True, **kwargs))
    is_vtt = path.lower().endswith('.vtt')
    empty = 0
    for number, times, texts in (_vtt_cues if is_vtt else _srt_cues)(
            path, lines, problems):
        text = _shown_text(' '.join(texts), is_vtt)
        if text:
            yield Cue(number, _seconds(times[:4]), _seconds(times[4:]), text)
        else:
            empty += 1
    if empty:
        warn(f'{path}: dropped {empty} subtitles without a text')


def _srt_cues(path: str, lines: list[tuple[int, str]], problems: Problems) -> list[
        tuple]:
    """Read a number, the times, lines of text, a blank line, as loosely as players."""
    cues, before = [], []  # a cue: its line, its times, and its lines of text
    begun = False
    for number, text in lines:
        times = _TIMES.fullmatch(text)
        is_wrong = not times and ('-->' in text or _LIKE_TIMES.fullmatch(f'{text} -'))
        if times or is_wrong:
            _drop_number(before, before_times=True)
            before, begun = [], True
        if times:
            cues.append((number, times.groups(), before))
        elif is_wrong:
            problems.add(_expected_times(path, number, text))
        elif not begun and text.strip() and not text.strip().isdigit():
            begun = True
            problems.add(f'{path}, line {number}: expected the number or the times of '
                         f'a subtitle, got {text[:80]!r}')
        else:
            before.append(text)
    _drop_number(before, before_times=False)  # of a subtitle that was cut off
    return cues


def _drop_number(lines: list[str], before_times: bool) -> None:
    """Take a last line away that is the number of the next subtitle.

    It stands right before the times, or between blank lines, as where each end of a
    line became two.
    """
    texts = [place for place, line in enumerate(lines) if line.strip()]
    if not texts or not lines[texts[-1]].strip().isdigit():
        return
    last = texts[-1]
    is_alone = last > 0 and not lines[last - 1].strip()
    if before_times and last == len(lines) - 1 or is_alone and (
            before_times or len(texts) > 1):
        del lines[last:]


def _vtt_cues(path: str, lines: list[tuple[int, str]], problems: Problems) -> list[
        tuple]:
    """Read blocks between blank lines: a header, notes, styles, regions and cues.

    A cue has a name or none, its times with settings, and lines of text
    (https://www.w3.org/TR/webvtt1).
    """
    blocks: list[list[tuple[int, str]]] = [[]]
    for number, text in lines:
        if text:
            blocks[-1].append((number, text))
        else:
            blocks.append([])
    if not re.match(r'WEBVTT(\s|$)', lines[0][1] if lines else ''):
        raise InputError(f'{path}, line 1: expected WEBVTT, got '
                         f'{lines[0][1][:80] if lines else ""!r}')
    for number, text in blocks[0][1:]:
        if '-->' in text:
            problems.add(f'{path}, line {number}: expected a blank line between WEBVTT '
                         f'and the first subtitle, got {text[:80]!r}')
    cues = []
    for block in filter(None, blocks[1:]):
        place = 0 if '-->' in block[0][1] or len(block) == 1 else 1
        number, text = block[place]
        times = _TIMES.fullmatch(text)
        if re.match(r'NOTE(\s|$)|(STYLE|REGION)\s*$', block[0][1]):
            continue
        if not times:
            problems.add(_expected_times(path, number, text))
            continue
        texts = [text for _, text in block[place + 1:]]
        for number, text in block[place + 1:]:
            if '-->' in text:  # A blank line is missing.
                problems.add(f'{path}, line {number}: expected a blank line before the '
                             f'next subtitle, got {text[:80]!r}')
        cues.append((block[place][0], times.groups(), texts))
    return cues


def _expected_times(path: str, number: int, text: str) -> str:
    return (f'{path}, line {number}: expected times such as '
            f'00:00:01,000 --> 00:00:02,500, got {text[:80]!r}')


def _seconds(time: Sequence[str | None]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in time)
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000


def _shown_text(text: str, is_vtt: bool) -> str:
    """Return a text as players show it, without tags, places and entities."""
    text = re.sub(r'\{\\[^}]*\}|\{/?[biusy](:[^}]*)?\}', '', text)
    if is_vtt:  # Others would have written &lt;
        text = re.sub(r'<[^>]*>', '', text)
    text = re.sub(r'</?(?:[bicsuv]|font|lang|rt|ruby)\b[^>]*>', '', text,
                  flags=re.IGNORECASE)
    text = re.sub(r'\\[Nnh]', ' ', text)
    text = re.sub('[\u200e\u200f]', '', html.unescape(text))  # the directions of texts
    return ' '.join(text.split())


def split_language(path: str) -> tuple[str, str | None]:
    """Split the name of a file of subtitles into the video's and the language.

    Examples:
        >>> split_language('a/film.pt-BR.srt'), split_language('a/film.part2.srt')
        (('film', 'pt-BR'), ('film.part2', None))
    """
    stem = Path(path).stem
    video, _, language = stem.rpartition('.')
    if video and _LANGUAGE.fullmatch(language):
        return video, language
    return stem, None


def find_subtitles(folder: str, videos: Sequence[str]) -> dict[
        str, list[tuple[str, str | None]]]:
    """Find the files of subtitles beside each video that has some, and their languages.

    ``a.en.srt`` belongs to ``a.mp4``, unless there is an ``a.en.mp4``.
    """
    owners: dict[str, list[str]] = {}
    for video in videos:
        owners.setdefault(os.path.splitext(video)[0], []).append(video)
    found: dict[str, list] = {}
    strays = []
    for name in find_files(folder, SUFFIXES):
        whole, language = os.path.splitext(name)[0], None
        if whole not in owners:
            stem, language = split_language(name)
            whole = os.path.join(os.path.dirname(name), stem)
        for video in owners.get(whole, []):
            found.setdefault(video, []).append((os.path.join(folder, name), language))
        if whole not in owners:
            strays.append(name)
    if strays:
        warn(f'{folder}: {len(strays)} files of subtitles are named as no video, such '
             f'as {strays[0]}; they are left out')
    return found


def choose_subtitles(
        found: dict[str, list[tuple[str, str | None]]], language: str | None,
        problems: Problems) -> dict[str, str]:
    """Choose a file of subtitles for each video, all of one language.

    Args:
        found (dict): What :func:`find_subtitles` found.
        language (str, optional): The one to read, such as ``en``, which ``en-GB`` is
            too; a file whose name tells none is read where there is no other. Defaults
            to None for that of all files.
        problems (Problems): Takes the videos with several files of a language.
    """
    chosen, languages = {}, {}
    for video, files in found.items():
        if language is not None:
            best = min(_rank(its, language) for _, its in files)
            files = [(path, its) for path, its in files
                     if _rank(its, language) == best < OTHER]
        if len(files) > 1:
            tags = [its for _, its in files]
            told = ('leave one there' if len(set(tags)) == 1 else
                    f'choose one with --language, such as {max(filter(None, tags))}')
            problems.add(f'{video} has several files of subtitles, '
                         f'{" and ".join(path for path, _ in files)}; {told}')
        elif files:
            (chosen[video], its), = files
            languages.setdefault(its, chosen[video])
    several = [f'{its} ({path})' for its, path in languages.items() if its]
    if language is None and len(several) > 1:
        problems.add(f'subtitles are of several languages, {", ".join(several)}; '
                     'choose one with --language')
    return chosen


def _rank(its: str | None, language: str) -> int:
    """Rank a language as one that was asked for, the lowest first."""
    if its is None:
        return 2
    its, language = (name.lower().replace('_', '-') for name in (its, language))
    return 0 if its == language else 1 if its.startswith(f'{language}-') else OTHER
