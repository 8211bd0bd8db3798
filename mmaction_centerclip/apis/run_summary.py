"""Mean and deviation of the evaluations of several trainings of a config."""
import csv
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmaction_centerclip.errors import InputError

from .work_dir import DATA, SETTINGS, Run

__all__ = [
    'ConfigSummary', 'choose_evaluations', 'format_summary', 'plot_summary',
    'run_warnings', 'summarize', 'write_csv'
]


@dataclass
class ConfigSummary:
    """The metrics of the runs of one config.

    Attributes:
        config (str): Its name.
        seeds (list[int | None]): Of each run; None if it is not known.
        values (dict[str, list[float]]): Of each metric, one a run.
    """
    config: str
    seeds: list[int | None]
    values: dict[str, list[float]]

    def mean(self, metric: str) -> float:
        """The mean over the runs."""
        return statistics.fmean(self.values[metric])

    def deviation(self, metric: str) -> float | None:
        """The sample standard deviation (n - 1); None for one run."""
        values = self.values[metric]
        return statistics.stdev(values) if len(values) > 1 else None


def choose_evaluations(runs: Sequence[Run]) -> str:
    """``'val'`` where all runs have validations, else ``'test'``.

    Args:
        runs (Sequence[Run]): At least one.
    """
    return 'val' if all(run.evaluations['val'] for run in runs) else 'test'


def summarize(runs: Sequence[Run],
              metrics: Sequence[str],
              best: str | None = None,
              which: str = 'val') -> list[ConfigSummary]:
    """Group runs by config and settings, in the order of their first run.

    Args:
        runs (Sequence[Run]): At least one.
        metrics (Sequence[str]): Which to keep.
        best (str, optional): Take each run's best evaluation by this metric.
            Defaults to None: the last.
        which (str): Of the validations, ``'val'``, or of the tests,
            ``'test'``. Defaults to ``'val'``.

    Raises:
        InputError: If a run lacks such an evaluation or a metric.
    """
    groups: dict[tuple, ConfigSummary] = {}
    for run in runs:
        key = _alike(run, which)
        if key not in groups:
            alike = sum(config == run.config for config, *_ in groups)
            name = f'{run.config} ({alike + 1})' if alike else run.config
            groups[key] = ConfigSummary(name, [], {m: [] for m in metrics})
        group = groups[key]
        evaluation = run.last(which) if best is None else run.best(best, which)
        group.seeds.append(run.seeds[-1] if run.seeds else None)
        for metric in metrics:
            group.values[metric].append(run.value(evaluation, metric))
    return list(groups.values())


def _alike(run: Run, which: str) -> tuple:
    """What is equal of runs that differ in nothing but their seed."""
    return (run.config, *(run.settings[name] for name in (*SETTINGS, DATA[which])))


def run_warnings(runs: Sequence[Run], which: str = 'val') -> list[str]:
    """What makes the runs less alike, or less independent, than they look.

    Args:
        runs (Sequence[Run]): At least one.
        which (str): As for :func:`summarize`. Defaults to ``'val'``.
    """
    warnings = []
    by_config: dict[str, list[Run]] = {}
    by_seed: dict[tuple, list[Run]] = {}
    for run in runs:
        by_config.setdefault(run.config, []).append(run)
        if run.seeds:
            by_seed.setdefault((run.seeds[-1], *_alike(run, which)), []).append(run)
        if len(run.seeds) > 1:
            warnings.append(
                f'{run.work_dir} has trainings with the seeds '
                f'{", ".join(map(str, run.seeds))}; it counts as one run, by '
                'its evaluations together')
        if run.other_tests:
            warnings.append(
                f'{run.work_dir} has {len(run.other_tests)} tests on other data '
                "than its config's, which do not count, the first being "
                f'{run.other_tests[0].name}')
        for outer in runs:
            if outer.work_dir.resolve() in run.work_dir.resolve().parents:
                warnings.append(f'{run.work_dir} lies in {outer.work_dir}: both '
                                'count, though they may be of the same weights')
    for first, *others in by_config.values():
        for run in others:
            differing = [name for name in (*SETTINGS, DATA[which])
                         if run.settings[name] != first.settings[name]]
            if differing:
                warnings.append(
                    f'{first.work_dir} and {run.work_dir} have configs of one '
                    f'name that differ in {", ".join(differing)}; they are '
                    'rows of their own')
    for (seed, config, *_), same in by_seed.items():
        if len(same) > 1:
            warnings.append(
                f'{len(same)} runs of {config} have the seed {seed}, all of '
                'which count: '
                + ', '.join(str(run.work_dir) for run in same))
    return warnings


def _seed_list(group: ConfigSummary) -> str:
    return ','.join('?' if seed is None else str(seed) for seed in group.seeds)


def format_summary(groups: Sequence[ConfigSummary]) -> str:
    """An aligned table, a line a config: mean and deviation of each metric."""
    metrics = list(groups[0].values)
    lines = [['config', 'runs', 'seeds', *metrics]]
    for group in groups:
        cells = []
        for metric in metrics:
            deviation = group.deviation(metric)
            spread = '-' if deviation is None else f'{deviation:.2f}'
            cells.append(f'{group.mean(metric):.2f} ± {spread:>4}')
        lines.append([group.config, str(len(group.seeds)), _seed_list(group),
                      *cells])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join('  '.join(
        [line[0].ljust(widths[0]),
         *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
                     for line in lines)


def write_csv(groups: Sequence[ConfigSummary], path: str | Path,
              evaluation: str) -> None:
    """Write a line a config, with a column for each mean and deviation.

    Args:
        groups (Sequence[ConfigSummary]): Not empty.
        path (str | Path): The file to write.
        evaluation (str): Which one of each run was taken, for a column.

    Raises:
        InputError: If the file cannot be written.
    """
    metrics = list(groups[0].values)

    def _write_rows() -> None:
        with open(path, 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(
                ['config', 'evaluation', 'runs', 'seeds',
                 *(f'{m} {what}' for m in metrics for what in ('mean', 'std'))])
            for group in groups:
                writer.writerow(
                    [group.config, evaluation, len(group.seeds),
                     _seed_list(group),
                     *(value for m in metrics
                       for value in (group.mean(m), group.deviation(m)))])

    _write('--csv', path, _write_rows)


def plot_summary(groups: Sequence[ConfigSummary], path: str | Path,
                 title: str) -> None:
    """Plot the means with their deviations, and each run as a dot.

    Args:
        groups (Sequence[ConfigSummary]): Not empty.
        path (str | Path): The picture to write.
        title (str): Its title.

    Raises:
        InputError: If the file cannot be written.
    """
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    metrics = list(groups[0].values)
    figure, axes = plt.subplots(figsize=(1.2 * len(metrics) + 2, 4))
    for number, group in enumerate(groups):
        offset = (number + 1) / (len(groups) + 1) - .5
        places = [index + offset for index in range(len(metrics))]
        bars = axes.errorbar(
            places, [group.mean(m) for m in metrics],
            yerr=[group.deviation(m) or 0 for m in metrics],
            fmt='_', capsize=3, label=f'{group.config} (n = {len(group.seeds)})')
        for place, metric in zip(places, metrics):
            values = group.values[metric]
            axes.scatter([place] * len(values), values, s=6,
                         color=bars.lines[0].get_color())
    axes.set_xticks(range(len(metrics)), metrics)
    axes.set_title(title, fontsize=8)
    axes.grid(axis='y', alpha=.3)
    axes.legend(fontsize=6, loc='upper center', bbox_to_anchor=(.5, -.1))
    _write('--plot', path,
           lambda: figure.savefig(path, dpi=150, bbox_inches='tight'))
    plt.close(figure)


def _write(option: str, path: str | Path, write: Callable[[], None]) -> None:
    """Write a file, and say which option is at fault if it cannot be."""
    try:
        write()
    except (OSError, ValueError) as error:
        raise InputError(f'{option} {path}: cannot be written: {error}') from None
