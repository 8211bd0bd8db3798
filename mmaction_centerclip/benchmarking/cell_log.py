"""A file of results, one a line, that a killed program goes on with."""
import json
import os
from pathlib import Path

from mmaction_centerclip.errors import InputError

__all__ = ['CellLog', 'cell_key']

START = b'{"cell": '  # as a row begins


def cell_key(cell: dict) -> str:
    """Return the key of a cell: its options, in any order.

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
                known = isinstance(row['failed'], str) if 'failed' in row else all(
                    isinstance(x, (int, float)) for x in row['figures'].values())
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
                known = False
            if not known:
                raise InputError(f'{path}, line {number}: expected a row of a sweep, '
                                 f'got {line[:40]!r}')
        cut = content[len(whole):]
        if cut and not (cut.startswith(START) or START.startswith(cut)):
            raise InputError(f'{path}, last line: expected a row of a sweep, got '
                             f'{cut[:40]!r}')
        if cut:
            os.truncate(self.path, len(whole))

    def append(self, row: dict) -> None:
        """Add a row, a dict of plain types with its ``cell``; a later one counts."""
        try:
            with open(self.path, 'ab') as file:
                file.write(json.dumps(row).encode() + b'\n')
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f'{self.path} cannot be written: '
                             f'{error.strerror}') from None
        self.rows[cell_key(row['cell'])] = row
