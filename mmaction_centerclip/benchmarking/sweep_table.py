"""The table of a sweep, for a terminal and for a page of the docs."""
from collections.abc import Sequence

from mmaction_centerclip.tables import format_table

__all__ = ['format_sweep', 'sweep_markdown']

COLUMNS = {
    't2v R@1': ('t2v/R1', '.1f'), 'v2t R@1': ('v2t/R1', '.1f'),
    'cosine': ('test/cosine', '.3f'), 'neighbors': ('test/neighbors', '.1f'),
    'clips cosine': ('clips/cosine', '.3f'),
    'clips neighbors': ('clips/neighbors', '.1f'),
    'GMACs': ('gmacs', '.4f'), 'MAC ratio': ('mac_ratio', '.3f'),
    'cold ms': ('cold_ms', '.0f'), 'ms': ('ms', '.2f'),
    'time ratio': ('time_ratio', '.2f'), 'eval cold ms': ('eval_cold_ms', '.0f'),
    'eval ms': ('eval_ms', '.2f'), 'eval ratio': ('eval_ratio', '.2f'),
    'step cold ms': ('step_cold_ms', '.0f'), 'step ms': ('step_ms', '.2f'),
    'step ratio': ('step_ratio', '.2f')}
"""Figures by title, and how to write them; milliseconds are of a video."""


def format_sweep(lines: Sequence[dict]) -> str:
    """Format the means over seeds, with their deviations, and what failed.

    Args:
        lines (Sequence[dict]): From :func:`summarize_cells`.

    Returns:
        str: A table for a terminal, of the columns that were measured.
    """
    columns = _measured(lines)
    names = [*_configs(lines), 'reducer', 'block', 'segments', 'tokens', 'seeds']
    return format_table([*names, *columns, 'failed'], [
        [*('-' if line[name] is None else line[name] for name in names),
         *(_cell(line, title) or '-' for title in columns), line['failed']]
        for line in lines])


def sweep_markdown(lines: Sequence[dict], title: str) -> str:
    """Format a sweep as a table of Markdown, and as a list what failed.

    Args:
        lines (Sequence[dict]): From :func:`summarize_cells`.
        title (str): How it was measured.

    Returns:
        str: A sentence, the table without the columns of milliseconds and
        GMACs, whose ratios it has, and the list.

    Examples:
        >>> from mmaction_centerclip.benchmarking import sweep_markdown
        >>> line = dict(config='c', reducer='norm', block=3, segments=2, tokens=16,
        ...             seeds=3, failed='', mac_ratio=.663)
        >>> print(sweep_markdown([dict(line, **{'mac_ratio std': 0.})], 'CPU'), end='')
        CPU
        <BLANKLINE>
        | reducer | block, segments, tokens | seeds | MAC ratio |
        | --- | --- | --- | --- |
        | norm | 3, 2, 16 | 3 | 0.663 |
    """
    columns = [title for title in _measured(lines)
               if not title.endswith((' ms', 'GMACs')) and title != 'ms']
    titles = [*_configs(lines), 'reducer', 'block, segments, tokens', 'seeds', *columns]
    rows = [[*(line[name] for name in _configs(lines)), line['reducer'], _budget(line),
             str(line['seeds']), *(_cell(line, column) or '–' for column in columns)]
            for line in lines if line['seeds']]
    table = [titles, ['---'] * len(titles), *rows]
    failed = [f'- {line["reducer"]}, {_budget(line)}: {line["failed"]}'
              for line in lines if line['failed']]
    text = [title, '', *(f'| {" | ".join(row)} |' for row in table)]
    return '\n'.join([*text, *[''] * bool(failed), *failed, ''])


def _measured(lines: Sequence[dict]) -> list[str]:
    """Return the titles of the columns that there are figures for."""
    return [title for title, (name, _) in COLUMNS.items()
            if any(name in line for line in lines)]


def _configs(lines: Sequence[dict]) -> list[str]:
    return ['config'] * (len({line['config'] for line in lines}) > 1)


def _budget(line: dict) -> str:
    budget = [line[name] for name in ('block', 'segments', 'tokens')]
    if not any(budget):
        return '–'
    return ', '.join('–' if part is None else str(part) for part in budget)


def _cell(line: dict, title: str) -> str:
    """Return a mean with its deviation, unless that is 0 as written."""
    name, form = COLUMNS[title]
    if name not in line:
        return ''
    mean, std = f'{line[name]:{form}}', line[f'{name} std']
    if std is None or float(f'{std:{form}}') == 0:
        return mean
    return f'{mean} ± {std:{form}}'
