"""A file of results, one a line, that a killed program goes on with."""
import json
import os
from pathlib import Path

from mmaction_centerclip.errors import InputError

__all__ = ['CellLog', 'cell_key']


def cell_key(cell: dict) -> str:
    """Return what tells a cell from others: its options, in any order.

    Examples:
        >>> from mmaction_centerclip.benchmarking import cell_key
        >>> cell_key(dict(seed=0, block=3)) == cell_key(dict(block=3, seed=0))
        True
    """
    return json.dumps(cell, sort_keys=True)


class CellLog:
    """Rows of finished cells, in JSON, one a line, in the order of finishing.

    A row is on the disk, whole, when :meth:`append` returns. A line that a
    killed program has cut is taken off when the file is opened.

    Args:
        path (str | Path): The file; made with the first row.

    Raises:
        InputError: If a line of it is no row.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: dict[str, dict] = {}
        content = self.path.read_bytes() if self.path.is_file() else b''
        whole = content[:content.rfind(b'\n') + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                row = json.loads(line)
                self.rows[cell_key(row['cell'])] = row
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f'{path}, line {number}: expected a row of a sweep, '
                                 f'got {line[:40]!r}: {error!r}') from None
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))

    def append(self, row: dict) -> None:
        """Add a row, a dict of plain types with its ``cell``; a later one counts.

        Raises:
            InputError: If the system cannot write it.
        """
        try:
            with open(self.path, 'ab') as file:
                file.write(json.dumps(row).encode() + b'\n')
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f'{self.path} cannot be written: '
                             f'{error.strerror}') from None
        self.rows[cell_key(row['cell'])] = row
