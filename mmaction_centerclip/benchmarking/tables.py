"""Average and compare the seeds of a sweep: tables, intervals, the Pareto front."""
import statistics
from collections.abc import Sequence

import numpy as np

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.tables import format_table

from .budgets import Budget
from .sweep import GROUP, WAYS, budget_text

DIRECTIONS = ('t2v', 'v2t')
COSTS = {'time_ratio': 'time ratio', 'mac_ratio': 'multiply-add ratio'}
COLUMNS = {
    't2v R@1': ('t2v/R1', '.1f'), 'v2t R@1': ('v2t/R1', '.1f'),
    **{f'{name} R@1 {way}': (f'{way}/{name}/R1', '.1f')
       for way in WAYS[1:] for name in ('t2v', 'v2t')},
    'cosine': ('test/cosine', '.3f'), 'neighbors': ('test/neighbors', '.1f'),
    'clips cosine': ('clips/cosine', '.3f'),
    'clips neighbors': ('clips/neighbors', '.1f'),
    'GMACs': ('gmacs', '.4f'), 'MAC ratio': ('mac_ratio', '.3f'),
    'cold ms': ('cold_ms', '.0f'), 'ms': ('ms', '.2f'),
    'time ratio': ('time_ratio', '.2f'), 'MiB ratio': ('mib_ratio', '.2f'),
    'eval cold ms': ('eval_cold_ms', '.0f'), 'eval ms': ('eval_ms', '.2f'),
    'eval ratio': ('eval_ratio', '.2f'), 'step cold ms': ('step_cold_ms', '.0f'),
    'step ms': ('step_ms', '.2f'), 'step ratio': ('step_ratio', '.2f'),
    'step MiB ratio': ('step_mib_ratio', '.2f')}
"""Figures by title, and how to write them; milliseconds are of a video."""
ByVideo = Sequence[Sequence[float]]


def pareto_front(costs: Sequence[float], qualities: Sequence[float]) -> list[int]:
    """Return the points that none beats, equal ones too, by cost, then as given.

    Examples:
        >>> from mmaction_centerclip.benchmarking import pareto_front
        >>> pareto_front([3, 1, 2, 2], [9, 5, 4, 6])
        [1, 3, 0]
    """
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -qualities[i])):
        best = front[-1] if front else None
        if best is None or qualities[i] > qualities[best] or (
                (costs[i], qualities[i]) == (costs[best], qualities[best])):
            front.append(i)
    return front


def summarize_cells(rows: Sequence[dict]) -> list[dict]:
    """Average cells, see :meth:`Run.rows`, over their seeds, in their order.

    Of those that succeeded, there is each figure's mean and ``'<name> std'``, the
    sample standard deviation, None of one seed; ``failed`` is the first reason or
    ``''``. Recalls of a trained cell are named by its way, ``'finetuned/t2v/R1'``; what
    it costs is that of the first way, and ``seeds`` are such as ``'3/1'`` where ways
    differ.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row['cell'][name] for name in GROUP), []).append(row)
    summary = []
    for key, group in groups.items():
        ways = [way for way in WAYS if any(row['cell']['way'] == way for row in group)]
        done = [row for row in group if 'figures' in row]
        counts = [sum(row['cell']['way'] == way for row in done) for way in ways]
        reasons = [row['failed'] if row['cell']['way'] == WAYS[0] else
                   f'{row["cell"]["way"]}: {row["failed"]}'
                   for row in group if 'failed' in row]
        line = dict(zip(GROUP, key), failed=reasons[0] if reasons else '',
                    seeds=counts[0] if len({*counts}) == 1 else '/'.join(
                        map(str, counts)))
        first = next((way for way, count in zip(ways, counts) if count), None)
        found: dict[str, list[float]] = {}
        for row in done:
            way = row['cell']['way']
            for name, value in row['figures'].items():
                named = _by_way(name, way)
                if named != name or way == first:
                    found.setdefault(named, []).append(value)
        for name, values in found.items():
            line[name] = statistics.fmean(values)
            line[f'{name} std'] = statistics.stdev(values) if values[1:] else None
        summary.append(line)
    return summary


def _by_way(name: str, way: str) -> str:
    named = way != WAYS[0] and name.startswith(('t2v/', 'v2t/'))
    return f'{way}/{name}' if named else name


def format_sweep(lines: Sequence[dict]) -> str:
    """Format the means over seeds, with their deviations, and what failed."""
    titles, rows = _table(lines, _measured(lines), '-')
    return format_table([*titles, 'failed'], [
        [*row, line['failed']] for row, line in zip(rows, lines)])


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table as Markdown."""
    return ''.join(f'| {" | ".join(row)} |\n' for row in (
        titles, ['---'] * len(titles), *rows))


def sweep_markdown(lines: Sequence[dict], title: str) -> str:
    """Format a sweep as Markdown: a title, a table without times, and what failed."""
    columns = [title for title in _measured(lines)
               if not title.endswith((' ms', 'GMACs')) and title != 'ms']
    titles, rows = _table(lines, columns, '–')
    rows = [row for row, line in zip(rows, lines) if line['seeds']]
    failed = [f'- {line["reducer"]}, {_budget(line, "–")}: {line["failed"]}'
              for line in lines if line['failed']]
    return '\n'.join([title, '', markdown_table(titles, rows), *failed]).rstrip(
        '\n') + '\n'


def _measured(lines: Sequence[dict]) -> list[str]:
    """Return the titles of the columns that there are figures for."""
    return [title for title, (name, _) in COLUMNS.items()
            if any(name in line for line in lines)]


def _table(lines: Sequence[dict], columns: Sequence[str], absent: str
           ) -> tuple[list[str], list[list[str]]]:
    """Return the titles of a table and its rows, with the config if several."""
    configs = ['config'] * (len({line['config'] for line in lines}) > 1)
    titles = [*configs, 'reducer', 'block, segments, tokens', 'seeds', *columns]
    return titles, [[*(line[name] for name in configs), line['reducer'],
                     _budget(line, absent), str(line['seeds']),
                     *(_cell(line, column) or absent for column in columns)]
                    for line in lines]


def _budget(line: dict, absent: str) -> str:
    return budget_text(*(line[name] for name in Budget._fields), absent=absent)


def _cell(line: dict, title: str) -> str:
    """Return a mean with its deviation, unless that is 0 as written."""
    name, form = COLUMNS[title]
    if name not in line:
        return ''
    mean, std = f'{line[name]:{form}}', line[f'{name} std']
    if std is None or float(f'{std:{form}}') == 0:
        return mean
    return f'{mean} ± {std:{form}}'


def plot_sweep(lines: Sequence[dict], quality: str, path: str, title: str = '') -> None:
    """Draw quality against both costs with the Pareto front, a row a config."""
    from matplotlib.figure import Figure
    drawn = [line for line in lines if quality in line]
    if not drawn:
        raise InputError(f'no finished cell has the figure {quality!r} to draw')
    configs = list(dict.fromkeys(line['config'] for line in drawn))
    names = list(dict.fromkeys(line['reducer'] for line in drawn))
    figure = Figure(figsize=(11, 4.5 * len(configs)), layout='constrained')
    panels = figure.subplots(len(configs), len(COSTS), squeeze=False, sharey='row')
    for row, config in zip(panels, configs):
        for axes, cost in zip(row, COSTS):
            _draw(axes, [line for line in drawn if line['config'] == config], cost,
                  quality, names)
            axes.set(xlabel=f'{COSTS[cost]} to the un-reduced model', title=config)
            axes.title.set_fontsize(7)
        row[0].set_ylabel(quality)
    handles = {}
    for axes in panels.flat:
        handles.update((label, handle) for handle, label in
                       zip(*axes.get_legend_handles_labels()))
    labels = [name for name in (*names, 'Pareto front') if name in handles]
    figure.legend([handles[name] for name in labels], labels, fontsize=7,
                  loc='outside right upper')
    figure.suptitle(title, fontsize=8)
    figure.savefig(path, dpi=120)


def _draw(axes, lines: Sequence[dict], cost: str, quality: str,
          names: Sequence[str]) -> None:
    """Draw one picture: a point a line, with its deviation, and the front."""
    markers, colors = 'os^vD*Pd', [f'C{i}' for i in range(10)]
    for line in lines:
        number = names.index(line['reducer'])
        axes.errorbar(line[cost], line[quality], yerr=line[f'{quality} std'] or 0,
                      fmt=markers[number // len(colors) % len(markers)],
                      color=colors[number % len(colors)], markersize=5, elinewidth=.5,
                      label=line['reducer'])
    front = pareto_front([line[cost] for line in lines],
                         [line[quality] for line in lines])
    axes.step([lines[i][cost] for i in front], [lines[i][quality] for i in front],
              where='post', color='gray', linewidth=1, zorder=0, label='Pareto front')
    axes.grid(alpha=.3)


def paired_difference(pairs: Sequence[tuple[ByVideo, ByVideo]], draws: int = 10_000,
                      seed: int = 0) -> tuple[float, float, float]:
    """Return the mean difference of two R@1, in points, and its 95 % interval.

    Percentile bootstrap (Efron and Tibshirani 1993, Sec. 13.3) over both the seeds and
    the videos, whose captions stay together. A pair a seed: what each model found, by
    video a list of its queries. Of one seed the interval is over the videos alone, and
    of two or three it is no more than a hint of what other seeds would give.

    Examples:
        >>> from mmaction_centerclip.benchmarking import paired_difference
        >>> found, other = [[1, 1], [1], [0]], [[1, 0], [1], [0]]
        >>> [round(x) for x in paired_difference([(found, other)])]
        [25, 0, 50]
    """
    counts = np.array([len(video) for video in pairs[0][0]])
    gains = np.array([[sum(ours) - sum(theirs) for ours, theirs in zip(*pair)]
                      for pair in pairs])  # (seeds, videos)
    rng = np.random.default_rng(seed)
    drawn_seeds, drawn_videos = (
        rng.multinomial(size, np.full(size, 1 / size), size=draws)
        for size in gains.shape)
    gained = ((drawn_seeds @ gains) * drawn_videos).sum(axis=1)
    found = 100 * gained / (drawn_videos @ counts) / len(gains)
    low, high = np.quantile(found, (.025, .975))
    mean = 100 * gains.sum() / counts.sum() / len(gains)
    return float(mean), float(low), float(high)


def compare_cells(rows: Sequence[dict], against: str) -> list[dict]:
    """Compare each reducer's R@1 with another's, of the same budget and seeds.

    ``against`` names a reducer of the sweep, or ``'none'``. Returns a dict a config,
    reducer and budget, with :func:`paired_difference` by way and direction. What takes
    no budget is compared where the other has one only.
    """
    by_seed: dict[tuple, dict] = {}
    for row in rows:
        if row.get('found'):
            key = tuple(row['cell'][name] for name in ('way', *GROUP))
            by_seed.setdefault(key, {})[row['cell']['seed']] = row['found']
    lines: dict[tuple, dict] = {}
    for (way, config, reducer, *budget), found in by_seed.items():
        others = [theirs for (*named, block, segments, tokens), theirs in
                  by_seed.items() if named == [way, config, against]
                  and _same(budget, (block, segments, tokens))]
        other = others[0] if len(others) == 1 else {}
        seeds = sorted(found.keys() & other.keys())
        if reducer == against or not seeds:
            continue
        line = lines.setdefault((config, reducer, *budget), dict(
            config=config, reducer=reducer, budget=budget_text(*budget)))
        for name in DIRECTIONS:
            line[name, way] = paired_difference(
                [(found[seed][name], other[seed][name]) for seed in seeds])
    return list(lines.values())


def _same(budget: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Compare budgets in what both take; without a reducer there is none."""
    return all(a is None or b is None or a == b for a, b in zip(budget, other))


def differences_table(lines: Sequence[dict]) -> tuple[list[str], list[list[str]]]:
    """Write :func:`compare_cells` as titles and rows, each such as -1.2 [-2.0, -0.4].
    """
    columns = [(name, way) for way in WAYS for name in DIRECTIONS
               if any((name, way) in line for line in lines)]
    configs = ['config'] * (len({line['config'] for line in lines}) > 1)
    return ([*configs, 'reducer', 'block, segments, tokens',
             *(f'{name} R@1 {way}' for name, way in columns)],
            [[*(line[name] for name in configs), line['reducer'], line['budget'],
              *('{:+.1f} [{:+.1f}, {:+.1f}]'.format(*line[column])
                if column in line else '' for column in columns)] for line in lines])
