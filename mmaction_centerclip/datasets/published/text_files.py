"""Read lists and tables of text, and name the line that is not one."""
import csv
import os.path as osp
from collections.abc import Collection, Iterator

from mmaction_centerclip.errors import InputError

__all__ = ['read_csv', 'read_lines', 'read_tabs']


def read_lines(path: str, encoding: str = 'utf-8',
               keep_blank: bool = False) -> Iterator[tuple[int, str]]:
    """Read the lines of a file that are not blank.

    Args:
        path (str): The file.
        encoding (str): Of its text. Defaults to ``'utf-8'``.
        keep_blank (bool): Whether to read the others, too. Defaults to False.

    Returns:
        Iterator[tuple[int, str]]: The number of each, from 1, and its text
        without its end.

    Raises:
        InputError: If there is no such file, or a line is no text.
    """
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
    """Read a table with its titles in the first line.

    Args:
        path (str): The file, in UTF-8.
        columns (Collection[str]): Titles that it must have.

    Returns:
        list[tuple[int, dict[str, str]]]: The line on which each row ends, and
        its cells by title.

    Raises:
        InputError: If there is no such file, or a row has not a cell a title.
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


def read_tabs(path: str, fields: int) -> list[tuple[int, list[str]]]:
    """Read lines of fields that are separated by tabs.

    Args:
        path (str): The file, in UTF-8.
        fields (int): How many a line has.

    Returns:
        list[tuple[int, list[str]]]: The number of each line, and its fields.

    Raises:
        InputError: If there is no such file, or a line has another number.
    """
    rows = []
    for number, line in read_lines(path):
        cells = line.split('\t')
        if len(cells) != fields:
            raise InputError(f'{path}, line {number}: expected {fields} fields '
                             f'separated by tabs, got {len(cells)}')
        rows.append((number, cells))
    return rows
