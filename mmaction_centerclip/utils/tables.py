"""Format plain-text tables, for logs and command lines."""
import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from mmaction_centerclip.errors import printable


def format_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Align rows under their titles, the first column left, others right.

    Examples:
        >>> print(format_table(['model', 'R@1'], [['CLIP4Clip', 23.2]]))
        model       R@1
        CLIP4Clip  23.2
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(
            str(title), justify='right' if number else 'left', no_wrap=True)
    for row in rows:
        table.add_row(*map(printable, row))
    file = io.StringIO()
    # Wider than any table, and plain: a log keeps neither colors nor wraps.
    Console(file=file, width=10000, markup=False, highlight=False,
            color_system=None, emoji=False).print(table)
    return '\n'.join(line.rstrip() for line in file.getvalue().splitlines())
