"""Read lists, tables and pickles of text, and name the lines that are none."""
import codecs
import csv
import io
import os
import os.path as osp
import pickle
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from mmaction_centerclip.errors import InputError, Problems

# What a file of another encoding than UTF-8 begins with, the longer ones first.
_MARKS = ((codecs.BOM_UTF8, 'utf-8-sig'), (codecs.BOM_UTF32_LE, 'utf-32'),
          (codecs.BOM_UTF32_BE, 'utf-32'), (codecs.BOM_UTF16_LE, 'utf-16'),
          (codecs.BOM_UTF16_BE, 'utf-16'))
_SEPARATORS = ',;\t'


def find_files(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """List the files of a folder and the folders in it that end so, by their names."""
    names = []
    for root, _, files in os.walk(folder):
        names += [osp.relpath(osp.join(root, name), folder) for name in files
                  if name.lower().endswith(suffixes)]
    return sorted(name.replace(os.sep, '/') for name in names)


def check_encoding(name: str, encoding: str | None) -> None:
    """Refuse an encoding in which a text that looks like ASCII may be another."""
    ascii_bytes = bytes(range(128))
    try:
        if encoding is None or ascii_bytes.decode(encoding) == ascii_bytes.decode():
            return
    except (LookupError, ValueError):
        pass
    raise InputError(f'{name} must be an encoding of Python that has ASCII in it, such '
                     f'as cp1252, got {encoding!r}')


def read_text(path: str, encoding: str | None = None,
              hint: str = 'save it as UTF-8') -> str:
    """Read a text in UTF-8, or in UTF-16 or 32 with their mark; line ends stay.

    Args:
        path (str): The file.
        encoding (str, optional): That of files that are not UTF-8 and have no mark.
            Defaults to None.
        hint (str): How to mend a file that cannot be read. Defaults to UTF-8.
    """
    if not osp.isfile(path):
        raise InputError(f'annotation file not found: {path}')
    with open(path, 'rb') as file:
        content = file.read()
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    tried = marked or 'utf-8'
    try:
        try:
            text = content.decode(tried)
        except UnicodeDecodeError:
            if marked or encoding is None:
                raise
            tried = encoding
            text = content.decode(tried)
    except UnicodeDecodeError as error:
        line = content[:error.start].count(b'\n') + 1
        raise InputError(f'{path}, line {line}: not text in {tried} ({error.reason}); '
                         f'{hint}') from None
    if '\0' in text:
        line = text[:text.index('\0')].count('\n') + 1
        raise InputError(f'{path}, line {line}: not text, it has zero bytes; {hint}')
    return text


def read_lines(path: str, keep_blank: bool = False,
               **kwargs) -> Iterator[tuple[int, str]]:
    """Read lines that are not blank, or all: numbers, from 1, and texts without end.

    ``kwargs`` are those of :func:`read_text`.
    """
    lines = io.StringIO(read_text(path, **kwargs), newline=None)
    for number, line in enumerate(lines, start=1):
        text = line.strip('\n\ufeff')
        if text.strip() or keep_blank:
            yield number, text


class Table(NamedTuple):
    """A table: of each row the line on which it ends, and its cells by title."""
    separator: str
    rows: list[tuple[int, dict[str, str]]]


def read_csv(path: str, columns: Collection[str], problems: Problems,
             **kwargs) -> Table:
    """Read a table, as spreadsheets write it too, with its titles in the first line.

    Cells are separated by what separates the titles: a comma, semicolon or tab, or
    what a first line such as ``sep=;`` says. Rows and columns without a text are left
    out.

    Args:
        path (str): The file.
        columns (Collection[str]): Titles that it must have.
        problems (Problems): Takes the rows that are none.
        **kwargs (str): Those of :func:`read_text`.
    """
    text = read_text(path, **kwargs)
    said = re.match(r'"?sep=([^\r\n"])"?(\r\n?|\n)', text, flags=re.IGNORECASE)
    skipped = 1 if said else 0
    text = text[said.end() if said else 0:]
    separator, titles = _find_titles(text, columns, said and said[1],
                                     f'{path}, line {skipped + 1}')
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator, strict=True)
    next(reader)
    rows = []
    try:
        for cells in reader:
            line, filled = skipped + reader.line_num, ''.join(cells).strip()
            extra = cells[len(titles):]
            if filled and (len(cells) < len(titles) or ''.join(extra).strip()):
                problems.add(f'{path}, line {line}: expected {len(titles)} cells, got '
                             f'{len(cells)}')
            elif filled:
                rows.append((line, dict(zip(titles, cells))))
    except csv.Error as error:
        problems.add(f'{path}, line {skipped + reader.line_num}: {error}')
    return Table(separator, rows)


def _find_titles(text: str, columns: Collection[str], separator: str | None,
                 place: str) -> tuple[str, list[str]]:
    """Return the separator of the titles, and them without empty ones at the end."""
    found, reason = [], None
    for tried in separator or _SEPARATORS:
        try:
            titles = [title.strip() for title in next(csv.reader(
                io.StringIO(text, newline=''), delimiter=tried, strict=True), [])]
        except csv.Error as error:
            reason = error
            continue
        while titles and not titles[-1]:
            titles.pop()
        found.append(titles)
        if set(columns) <= set(titles) and len(set(titles)) == len(titles):
            return tried, titles
    if not found:
        raise InputError(f'{place}: {reason}')
    raise InputError(f'{place}: expected titles with {", ".join(columns)}, each once, '
                     f'got {", ".join(max(found, key=len))!r}')


def read_tabs(path: str, fields: int, problems: Problems) -> Iterator[list[str]]:
    """Read lines of so many fields, separated by tabs; ``problems`` takes others."""
    for number, line in read_lines(path):
        cells = line.split('\t')
        if len(cells) == fields:
            yield cells
        else:
            problems.add(f'{path}, line {number}: expected {fields} fields separated '
                         f'by tabs, got {len(cells)}')


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles dicts, lists, tuples, texts and numbers.

    Whatever a pickle runs, it first looks up as a global; plain types need none.
    """

    def find_class(self, module: str, name: str) -> None:
        raise InputError(f'it asks for {module}.{name}, which no captions need; '
                         'nothing of it was run')


def read_plain_pickle(path: str) -> object:
    """Read a pickle of plain types, Python 2's too, without running anything in it."""
    if not osp.isfile(path):
        raise InputError(f'annotation file not found: {path}')
    try:
        with open(path, 'rb') as file:
            return _PlainUnpickler(file, encoding='utf-8').load()
    except InputError as error:
        raise InputError(f'{path} is refused: {error}') from None
    except Exception as error:  # A damaged pickle may raise anything.
        reason = (str(error).splitlines() or [''])[0] or type(error).__name__
        raise InputError(f'{path} is not a pickle of captions: {reason}') from None
