"""Annotation files: JSON that says which captions a video or a clip of it has."""
import contextlib
import json
import os.path as osp
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from mmaction_centerclip.errors import (
    InputError,
    Problems,
    check_number,
    named_errors,
    printable,
    warn,
)

SCHEMA_VERSION = 1
LONGEST = 1e9  # seconds, of what is no mistake
_FORM = ('map video files to lists of captions, such as '
         '{"video0.mp4": ["a caption", ...]}, or have a schema_version and a list '
         'of videos')
_ENTRY = ('an object with a video, an id and captions, and with start and end, '
          'in seconds, if it is a clip')


@dataclass(frozen=True)
class AnnotationEntry:
    """A video, or a clip of one, with its captions."""
    video: str  # the file, in the folder of the videos
    captions: list[str]
    id: str  # which no other entry of the annotations has
    start: float | None = None  # in seconds; None for the start of the video
    end: float | None = None  # None for the end of the video

    def __post_init__(self) -> None:
        if not all(isinstance(text, str) and text for text in (self.video, self.id)):
            raise InputError('video and id must be texts that are not empty, got '
                             f'{self.video!r} and {self.id!r}')
        if not isinstance(self.captions, list) or not all(
                isinstance(text, str) for text in self.captions):
            raise InputError(f'{self.id}: captions must be a list of texts, got '
                             f'{self.captions!r}')
        for name in ('start', 'end'):
            if getattr(self, name) is not None:
                check_number(f'{self.id}: {name}', getattr(self, name),
                             lambda seconds: 0 <= seconds < LONGEST,
                             f'seconds, 0 or more and below {LONGEST:g}')
        if self.end is not None and self.end <= (self.start or 0):
            raise InputError(f'{self.id}: end must be after start, got '
                             f'{self.start or 0} to {self.end}')


def convert_annotations(path: str, convert: Callable, expected: str) -> object:
    """Read a JSON file, and convert what it holds; messages tell the ``expected``.

    ``convert`` takes the content and the :class:`Problems` for what is wrong with a
    part of it.
    """
    if not osp.isfile(path):
        raise InputError(f'annotation file not found: {path}')
    try:
        with named_errors(path), open(path, encoding='utf-8') as file:
            content = json.load(file, object_pairs_hook=_without_repeats)
    except InputError:
        raise
    except (RecursionError, ValueError) as error:
        raise InputError(f'{path} is not JSON: {error}') from None
    with form_errors(f'{path} must {expected}'), named_errors(
            path), Problems() as problems:
        return convert(content, problems)


@contextlib.contextmanager
def form_errors(text: str) -> Iterator[None]:
    """Raise an InputError where what a file holds has not the form that is read."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise InputError(text) from None


def _without_repeats(pairs: list[tuple[str, object]]) -> dict:
    """Make a JSON object of its pairs, none of which may hide another."""
    content = dict(pairs)
    if len(content) < len(pairs):
        with Problems() as problems:
            for name, count in Counter(name for name, _ in pairs).items():
                if count > 1:
                    problems.add(f'{name!r} stands {count} times, so that captions '
                                 'would be lost; list them together')
    return content


def read_entries(path: str, keep_empty: bool = False) -> list[AnnotationEntry]:
    """Read what has captions, and log how many empty captions are dropped.

    The file is of :func:`annotation_text` or, as MMAction2's, a dict of lists of
    captions. With ``keep_empty`` nothing is dropped or logged.
    """
    entries = convert_annotations(path, _to_entries, _FORM)
    if keep_empty:
        return entries
    kept = [[text for text in entry.captions if text.strip()] for entry in entries]
    fewer = [entry for entry, texts in zip(entries, kept)
             if len(texts) < len(entry.captions)]
    bare = [entry for entry, texts in zip(entries, kept) if not texts]
    if len(bare) == len(entries):
        raise InputError(f'{path}: none of its {len(entries)} videos has a '
                         'caption that is not empty')
    empty = sum(len(entry.captions) for entry in entries) - sum(map(len, kept))
    for dropped, named in (
        (f'{empty} empty captions of {len(fewer)} videos', fewer),
        (f'{len(bare)} videos without a caption', bare)):
        if named:
            warn(printable(f'{path}: dropped {dropped}, the first being '
                           f'{named[0].video}'))
    return [AnnotationEntry(**dict(asdict(entry), captions=texts))
            for entry, texts in zip(entries, kept) if texts]


def read_annotations(path: str) -> dict[str, list[str]]:
    """Read captions as :func:`read_entries` does, those of a video's clips together."""
    captions: dict[str, list[str]] = {}
    for entry in read_entries(path):
        captions.setdefault(entry.video, []).extend(entry.captions)
    return captions


def _to_entries(content: dict, problems: Problems) -> list[AnnotationEntry]:
    # A video of that name would have a list.
    version = content.get('schema_version', [])
    if isinstance(version, list):
        entries = _entries_of_videos(content, problems)
    else:
        if version != SCHEMA_VERSION or isinstance(version, bool):
            raise InputError(f'schema_version must be {SCHEMA_VERSION}, got '
                             f'{version!r}; another version of this package may have '
                             'written the file')
        unknown = set(content) - {'schema_version', 'split', 'videos'}
        if unknown or not isinstance(content['videos'], list) or not content['videos']:
            raise TypeError
        entries = []
        for number, entry in enumerate(content['videos']):
            with problems.of(f'videos[{number}]'):
                entries.append(_to_entry(entry))
    _check_repeats(entries)
    return entries


def _entries_of_videos(content: dict, problems: Problems) -> list[AnnotationEntry]:
    """Convert MMAction2's form, unless nothing in it looks like that."""
    wrong = {video: captions for video, captions in content.items()
             if not isinstance(captions, list) or not all(
                 isinstance(text, str) for text in captions)}
    if len(wrong) == len(content):
        raise TypeError
    for video, captions in wrong.items():
        problems.add(f'{video!r} must have a list of captions, got '
                     f'{str(captions)[:80]!r}')
    return [AnnotationEntry(video, captions, video)
            for video, captions in content.items() if video not in wrong]


def _to_entry(entry: object) -> AnnotationEntry:
    # A misspelt end would otherwise be the end of the video.
    if not isinstance(entry, dict) or not {'video', 'captions', 'id'} <= set(
            entry) <= set(AnnotationEntry.__dataclass_fields__):
        raise InputError(f'expected {_ENTRY}, got {str(entry)[:200]}')
    return AnnotationEntry(**entry)


def _check_repeats(entries: Sequence[AnnotationEntry]) -> None:
    """Refuse two entries of one id, or of one clip, each other's negatives."""
    with Problems() as problems:
        for kind, keys in (
            ('id', [entry.id for entry in entries]),
            ('clip', [(
                entry.video if '://' in entry.video else osp.normpath(entry.video),
                entry.start or 0, entry.end) for entry in entries])):
            for key, count in Counter(keys).items():
                if count > 1:
                    problems.add(f'the {kind} {key!r} stands {count} times; list its '
                                 'captions together')


def annotation_text(entries: Sequence[AnnotationEntry], split: str) -> str:
    """Write annotations as JSON with the schema version, an entry a line.

    Examples:
        >>> entry = AnnotationEntry('a.mp4', ['a cat'], 'a', start=1.5)
        >>> print(annotation_text([entry], 'test'), end='')
        {"schema_version": 1, "split": "test", "videos": [
        {"video": "a.mp4", "captions": ["a cat"], "id": "a", "start": 1.5}
        ]}
    """
    if not entries:
        raise InputError(f'there is no video of the split {split!r}')
    _check_repeats(entries)
    lines = (json.dumps({name: value for name, value in asdict(entry).items()
                         if value is not None}, ensure_ascii=False)
             for entry in entries)
    return (f'{{"schema_version": {SCHEMA_VERSION}, "split": {json.dumps(split)}, '
            '"videos": [\n' + ',\n'.join(lines) + '\n]}\n')
