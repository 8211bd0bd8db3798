"""Write durations, sizes and plain-text tables, as people read them."""
import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from mmaction_centerclip.errors import printable


def format_seconds(seconds: float) -> str:
    """Write a duration in the two largest of its units, rounded.

    Examples:
        >>> [format_seconds(s) for s in (4e-5, 0.034, 2.51, 59.96, 200, 3599.7, 3900)]
        ['0 s', '0.034 s', '2.5 s', '1 min', '3 min 20 s', '1 h', '1 h 5 min']
    """
    if seconds < 1:
        return f'{round(seconds, 3):.2g} s'
    if seconds < 9.95:
        return f'{seconds:.1f} s'
    whole = round(seconds)
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        large, small, names = *divmod(whole, 60), ('min', 's')
    else:
        large, small, names = *divmod(round(seconds / 60), 60), ('h', 'min')
    return f'{large} {names[0]}' + (f' {small} {names[1]}' if small else '')


def format_bytes(size: float) -> str:
    """Write a size to three digits, in the largest of the units of 1024 that it fills.

    Examples:
        >>> [format_bytes(size) for size in (0, 1023, 1536, 2**20 - 1, 2**28, 2**42)]
        ['0 bytes', '1023 bytes', '1.5 KiB', '1 MiB', '256 MiB', '4096 GiB']
    """
    units = ['GiB', 'MiB', 'KiB', 'bytes']
    while size >= 1023.5 and len(units) > 1:
        size /= 1024
        units.pop()
    return f'{size:{".3g" if size < 999.5 else ".0f"}} {units[-1]}'


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
