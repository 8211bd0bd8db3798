"""Write what the doctor found as a page of HTML that needs no other file."""
import io

from mmaction_centerclip.utils.files import write_text
from mmaction_centerclip.utils.html_page import data_url, render_page

from .summary import summarize
from .videos import STATES

__all__ = ['write_page']

BODY = '''
{% macro table(titles, rows) %}
{% if rows %}
<table><tr>{% for title in titles %}<th>{{ title }}</th>{% endfor %}</tr>
{% for row in rows[:most_rows] %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
{% if rows | length > most_rows %}
<tr><td>and {{ rows | length - most_rows }} more, see report.json</td></tr>
{% endif %}
</table>
{% endif %}
{% endmacro %}
{% for split in report.splits %}
<h2>{{ split.name }}</h2><p>{{ split.ann_file }}</p>
{% if split.picture %}
<p><img alt="durations, rates, frames and sizes" src="{{ split.picture }}"></p>
{% endif %}
{{ table(['state', 'videos'], split.states.items() | list) }}
{{ table(['codec', 'videos'], split.codecs.items() | list) }}
{{ table(['file', 'codec', 'state', 'why', 'first frame by'], split.fault_rows) }}
{{ table(['file', 'unusual codec'], split.unusual) }}
{{ table(['one video under several names'], split.repeated) }}
{% if split.captions %}
{{ table(['entries with empty captions'], split.captions.empty | batch(1) | list) }}
{{ table(['captions longer than the context'],
         split.captions.over_long | batch(1) | list) }}
{% endif %}
{% endfor %}
{% for leak in report.leaks %}
<h2>In both {{ leak.splits | join(' and ') }}</h2>
{{ table(['files'], leak.same_name | batch(1) | list) }}
{{ table(['file', 'of the same bytes'], leak.same_content) }}
{{ table(['captions'], leak.same_caption | batch(1) | list) }}
{% endfor %}
'''
MOST_ROWS = 1000
AXES = dict(duration='duration, s', rate='frames a second', frames='frames')


def write_page(report: dict, title: str, path: str) -> None:
    """Write the page, all of it or nothing.

    Args:
        report (dict): Of :func:`diagnose`.
        title (str): Such as the config's name.
        path (str): The file.
    """
    splits = [dict(
        split, picture=draw_figures(split['figures']),
        states={STATES[name]: count for name, count in split['states'].items()},
        unusual=[[video['file'], video['codec']] for video in split['unusual']],
        fault_rows=[[
            video['file'], video.get('codec', ''), STATES[video['state']],
            video['reason'], ', '.join(video['decoders']) or 'none'
            if 'decoders' in video else ''] for video in split['faults']])
        for split in report['splits']]
    write_text(render_page(
        BODY, title, '\n'.join(summarize(report)), report=dict(report, splits=splits),
        most_rows=MOST_ROWS), path)


def draw_figures(figures: dict[str, list]) -> str | None:
    """Draw histograms, and widths over heights; None without matplotlib or videos."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not figures['size']:
        return None
    figure = Figure(figsize=(11, 2.6), layout='constrained')
    *histograms, sizes = figure.subplots(1, 4)
    for axes, (name, title) in zip(histograms, AXES.items()):
        axes.hist(figures[name], bins=30)
        axes.set(xlabel=title, ylabel='videos')
    sizes.scatter(*zip(*figures['size']), s=8, alpha=0.5)
    sizes.set(xlabel='width', ylabel='height')
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=90)
    return data_url(file.getvalue(), 'png')
