"""Write what the doctor found as a page of HTML that needs no other file."""
from collections.abc import Iterable
from html import escape

from mmaction_centerclip.files import write_text

from .picture import draw_figures
from .summary import summarize
from .videos import STATES

__all__ = ['write_page']

STYLE = '''body{font:15px/1.4 sans-serif;max-width:72em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;
text-align:left;vertical-align:top;overflow-wrap:anywhere}img{max-width:100%}
pre{background:#f4f4f4;padding:1em;overflow:auto}'''
MOST_ROWS = 1000


def write_page(report: dict, title: str, path: str) -> None:
    """Write the page, all of it or nothing.

    Args:
        report (dict): Of :func:`diagnose`.
        title (str): Such as the config's name.
        path (str): The file.
    """
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>'
             f'{_text(title)}</title><style>{STYLE}</style><h1>{_text(title)}</h1>',
             f'<pre>{_text(chr(10).join(summarize(report)))}</pre>']
    for split in report['splits']:
        parts.append(_section(split))
    for leak in report['leaks']:
        parts.append(f'<h2>In both {_text(" and ".join(leak["splits"]))}</h2>')
        parts.append(_table(('files', ), ([name] for name in leak['same_name'])))
        parts.append(_table(('file', 'of the same bytes'), leak['same_content']))
        parts.append(_table(('captions', ), ([text] for text in leak['same_caption'])))
    write_text('\n'.join(parts) + '</html>\n', path)


def _section(split: dict) -> str:
    """Write what there is of a split."""
    speed = split['speed'] or {}
    picture = draw_figures(split['figures'])
    faults = ([video['file'], video.get('codec', ''), STATES[video['state']],
               video['reason'], ', '.join(video['decoders']) or 'none'
               if 'decoders' in video else ''] for video in split['faults'])
    return '\n'.join([
        f'<h2>{_text(split["name"])}</h2><p>{_text(split["ann_file"])}</p>',
        f'<p><img alt="durations, rates, frames and sizes" src="{picture}"></p>'
        if picture else '',
        _table(('state', 'videos'), ((STATES[state], count) for state, count
                                     in split['states'].items())),
        _table(('codec', 'videos'), split['codecs'].items()),
        _table(('speed', ''), speed.items()),
        _table(('videos', 'seconds a sample', 'hours an epoch, one process', 'GiB'),
               (found.values() for found in split['estimates'])),
        _table(('file', 'codec', 'state', 'why', 'first frame by'), faults),
        _table(('file', 'unusual codec'), ([video['file'], video['codec']]
                                           for video in split['unusual'])),
        _table(('entries with empty captions', ),
               ([name] for name in split['captions']['empty'])),
        _table(('captions longer than the context', ),
               ([text] for text in split['captions']['over_long']))])


def _table(titles: Iterable[str], rows: Iterable[Iterable]) -> str:
    """Write a table; nothing if there are no rows."""
    rows = [list(row) for row in rows]
    if not rows:
        return ''
    lines = [''.join(f'<td>{_text(cell)}</td>' for cell in row)
             for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines.append(f'<td>and {len(rows) - MOST_ROWS} more, see report.json</td>')
    head = ''.join(f'<th>{_text(title)}</th>' for title in titles)
    body = ''.join(f'<tr>{line}</tr>\n' for line in lines)
    return f'<table><tr>{head}</tr>\n{body}</table><br>'


def _text(value: object) -> str:
    # A name of bytes that are no text has lone surrogates.
    return escape(str(value).encode('utf-8', 'backslashreplace').decode())
