"""Describe what the doctor found: lines of text, and a page of HTML."""
import io
import os.path as osp
from collections.abc import Iterator
from statistics import median

from mmaction_centerclip.utils.files import write_text
from mmaction_centerclip.utils.html_page import data_url, render_page

from .videos import STATES

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
<h2>{{ split.name }}</h2><section class="panel">
<p class="faint">{{ split.ann_file }}</p>
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
</section>
{% endfor %}
{% for leak in report.leaks %}
<h2>In both {{ leak.splits | join(' and ') }}</h2><section class="panel">
{{ table(['files'], leak.same_name | batch(1) | list) }}
{{ table(['file', 'of the same bytes'], leak.same_content) }}
{{ table(['captions'], leak.same_caption | batch(1) | list) }}
</section>
{% endfor %}
'''
MOST_ROWS = 1000
MOST_LINES = 20
AXES = dict(duration='duration, s', rate='frames a second', frames='frames')


def summarize(report: dict) -> list[str]:
    """Describe each finding of :func:`diagnose` in a line."""
    lines = []
    for split in report['splits']:
        lines += _summarize_videos(split)
        if split['captions']:
            lines += _summarize_captions(split)
        if split['seconds_per_sample']:
            lines.append(f'  {1e3 * split["seconds_per_sample"]:.1f} ms a sample, the '
                         f'median with {report["workers"]} processes at once')
    for leak in report['leaks']:
        counts = ', '.join(f'{len(leak[key])} {words}' for key, words in (
            ('same_name', 'files'),
            ('same_content', 'pairs of files of the same bytes'),
            ('same_caption', 'captions')) if leak[key])
        lines.append(f'in both {" and ".join(leak["splits"])}: {counts or "nothing"}')
    return lines


def _summarize_videos(split: dict) -> Iterator[str]:
    states = ', '.join(f'{count} {STATES[state]}' for state, count
                       in split['states'].items() if count)
    same = f' (also {", ".join(split["same_as"])})' if split['same_as'] else ''
    yield (f'{split["name"]}{same}, {osp.basename(split["ann_file"])}: '
           f'{split["videos"]} videos: {states}')
    if split['figures']['rate']:
        # Videos compressed by others are told by it.
        yield '  medians: ' + ', '.join(
            f'{median(split["figures"][name]):.4g} {words}' for name, words in (
                ('rate', 'frames a second'), ('duration', 's'), ('frames', 'frames'))
            if split['figures'][name])
    for video in split['faults'][:MOST_LINES]:
        by = (f'; first frame by: {", ".join(video["decoders"]) or "no decoder"}'
              if 'decoders' in video else '')
        yield f'  {video["file"]}: {STATES[video["state"]]}: {video["reason"]}{by}'
    for video in split['unusual'][:MOST_LINES]:
        yield (f'  {video["file"]}: its codec is {video["codec"]}, which VideoInit '
               'reads and some other decoders do not')
    for names in split['repeated'][:MOST_LINES]:
        yield f'  one video under {len(names)} names: {", ".join(names)}'
    if len(split['shapes']) > 1:
        yield ('  samples of several shapes make no batch; the pipeline needs a step '
               'that resizes: ' + ', '.join(
                   f'{found["videos"]} of {found["shape"]}, such as {found["file"]}'
                   for found in split['shapes'][:5]))
    more = sum(max(0, len(split[name]) - MOST_LINES)
               for name in ('faults', 'unusual', 'repeated'))
    if more:
        yield f'  and {more} more'


def _summarize_captions(split: dict) -> Iterator[str]:
    captions = split['captions']
    yield (f'  captions: {captions["captions"]}, {len(captions["empty"])} entries with '
           f'empty ones, {len(captions["over_long"])} longer than the context')
    for kind, found in split.get('false_negatives', {}).items():
        if found['groups']:
            yield (f'  {kind.replace("_", " ")}: {found["samples"]} samples in '
                   f'{found["groups"]} groups; a shuffled batch of one process has '
                   f'{found["pairs_per_batch"]} such pairs on average, each other\'s '
                   'negatives unless mask_repeats leaves them out')


def write_page(report: dict, title: str, path: str) -> None:
    """Write all of the report as a page that needs no other file."""
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
