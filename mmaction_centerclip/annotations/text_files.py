"""Read lists, tables and pickles of text, and name the line that is not one."""
import csv
import os.path as osp
import pickle
from collections.abc import Collection, Iterator

from mmaction_centerclip.errors import InputError


def read_lines(path: str, encoding: str = 'utf-8',
               keep_blank: bool = False) -> Iterator[tuple[int, str]]:
    """Read lines that are not blank, or all: numbers, from 1, and texts without end."""
    if not osp.isfile(path):
        raise InputError(f'annotation file not found: {path}')
    with open(path, 'rb') as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode(encoding).strip('\r\n\ufeff')
            except UnicodeDecodeError as error:
                raise InputError(f'{path}, line {number}: not text in {encoding} '
                                 f'({error.reason})') from None
            if '\0' in text:
                raise InputError(f'{path}, line {number}: not text, it has zero bytes')
            if text.strip() or keep_blank:
                yield number, text


def read_csv(path: str, columns: Collection[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a table in UTF-8 with its titles, ``columns`` among them, in line 1.

    Each row comes as the line on which it ends, and its cells by title.
    """
    for _ in read_lines(path):  # so that a line that is no text is named
        pass
    rows = []
    with open(path, encoding='utf-8-sig', newline='') as file:
        reader = csv.reader(file, strict=True)
        try:
            titles = [title.strip() for title in next(reader, [])]
            if not set(columns) <= set(titles) or len(set(titles)) < len(titles):
                raise InputError(f'{path}, line 1: expected titles with '
                                 f'{", ".join(columns)}, got {", ".join(titles)!r}')
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(titles):
                    raise InputError(f'{path}, line {reader.line_num}: expected '
                                     f'{len(titles)} cells, got {len(cells)}')
                rows.append((reader.line_num, dict(zip(titles, cells))))
        except csv.Error as error:
            raise InputError(f'{path}, line {reader.line_num}: {error}') from None
    return rows


def read_tabs(path: str, fields: int) -> Iterator[list[str]]:
    """Read lines in UTF-8 of so many fields, separated by tabs."""
    for number, line in read_lines(path):
        cells = line.split('\t')
        if len(cells) != fields:
            raise InputError(f'{path}, line {number}: expected {fields} fields '
                             f'separated by tabs, got {len(cells)}')
        yield cells


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
