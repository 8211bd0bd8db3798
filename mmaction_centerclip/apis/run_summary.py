"""Mean and deviation of the evaluations of several trainings of a config."""
import ast
import csv
import json
import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmaction_centerclip.errors import InputError

__all__ = [
    'ConfigSummary', 'Run', 'format_summary', 'plot_summary', 'read_run',
    'run_warnings', 'summarize', 'write_csv'
]

LOWER_IS_BETTER = ('MdR', 'MnR')
# Variables of a dumped config in which runs of one config are to agree.
SETTINGS = ('model', 'optim_wrapper', 'param_scheduler', 'test_dataloader',
            'train_cfg', 'train_dataloader')


@dataclass
class Run:
    """The evaluations of one work dir.

    Attributes:
        work_dir (Path): Where they were.
        config (str): Name of the config, without .py.
        evaluations (list[dict[str, float]]): The metrics of each, oldest
            first, names without the prefix.
        seeds (list[int]): Seeds of the trainings in the work dir, oldest
            first, each once; those of tests are no seeds of the weights.
        settings (dict[str, str]): ``SETTINGS`` of the dumped config, to be
            compared.
    """
    work_dir: Path
    config: str
    evaluations: list[dict[str, float]]
    seeds: list[int]
    settings: dict[str, str]

    def last(self) -> dict[str, float]:
        """The last evaluation."""
        return self.evaluations[-1]

    def best(self, metric: str) -> dict[str, float]:
        """The best evaluation by one of its metrics, the first of equals."""
        values = [self.value(e, metric) for e in self.evaluations]
        sign = -1 if metric.endswith(LOWER_IS_BETTER) else 1
        known = [i for i, v in enumerate(values) if not math.isnan(v)] or [0]
        return self.evaluations[max(known, key=lambda i: sign * values[i])]

    def value(self, evaluation: dict[str, float], metric: str) -> float:
        """One metric of an evaluation.

        Raises:
            InputError: If it was not evaluated.
        """
        if metric not in evaluation:
            raise InputError(
                f'{self.work_dir}: the evaluation has no metric {metric!r}, '
                f'expected one of {", ".join(evaluation)}')
        return evaluation[metric]


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


def read_run(work_dir: str | Path, prefix: str = 'retrieval') -> Run:
    """Read what MMEngine's runner left in a work dir.

    Each start of a tool makes a folder there, named by its time:
    ``<time>/vis_data/scalars.json`` has a line an evaluation (and a line each
    few iterations) of a training, ``<time>/<time>.json`` the metrics of a
    test. A work dir is one run, however often it was resumed.

    Args:
        work_dir (str | Path): The work dir itself, with the dumped config.
        prefix (str): Of the metrics' names. Defaults to ``'retrieval'``.

    Raises:
        InputError: If it is no work dir or has no evaluation, or a file in it
            is damaged.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise InputError(f'no such work dir: {work_dir}')
    configs = sorted(path.stem for path in folder.glob('*.py'))
    if len(configs) != 1:
        raise InputError(
            f'{folder}: a work dir has one dumped config, *.py, got '
            f'{", ".join(configs) if configs else "none"}')
    config = _assignments(folder / f'{configs[0]}.py')
    evaluations, seeds = [], []
    for start in sorted(path for path in folder.iterdir() if path.is_dir()):
        lines = _read_lines(start / 'vis_data' / 'scalars.json')
        result = start / f'{start.name}.json'
        if result.is_file():
            lines += [_parse(result.read_text(encoding='utf-8'), str(result))]
        found = [_metrics_of(line, prefix) for line in lines]
        evaluations += filter(None, found)
        if any('loss' in line for line in lines):
            seeds += _seed_of(start, config)
    if not evaluations:
        raise InputError(
            f'{folder}: no evaluation, expected lines with {prefix}/... in '
            '<time>/vis_data/scalars.json or a <time>/<time>.json of a test')
    settings = {name: ast.dump(config[name]) for name in SETTINGS if name in config}
    return Run(folder, configs[0], evaluations, list(dict.fromkeys(seeds)),
               settings)


def _read_lines(path: Path) -> list[dict]:
    """The lines of a scalars.json; a killed training may cut the last."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding='utf-8').split('\n')
    return [_parse(line, f'{path}, line {number}')
            for number, line in enumerate(lines[:-1], 1) if line.strip()]


def _parse(text: str, place: str) -> dict:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f'{place}: not JSON: {error}') from None
    if not isinstance(content, dict):
        raise InputError(f'{place}: expected a JSON object, got {text[:40]!r}')
    return content


def _metrics_of(line: dict, prefix: str) -> dict[str, float]:
    start = f'{prefix}/'
    return {key[len(start):]: value for key, value in line.items()
            if key.startswith(start) and isinstance(value, (int, float))}


def _seed_of(start: Path, config: dict[str, ast.expr]) -> list[int]:
    """The seed of a training: as logged, else as configured, else none."""
    log = start / f'{start.name}.log'
    if log.is_file():
        with open(log, encoding='utf-8', errors='replace') as file:
            for line in file:
                seed = re.match(r' {4}seed: (\d+)$', line)
                if seed:
                    return [int(seed[1])]
                if line.rstrip().endswith(' - Config:'):
                    break
    dumped = start / 'vis_data' / 'config.py'
    seed = _configured_seed(_assignments(dumped) if dumped.is_file() else config)
    return [] if seed is None else [seed]


def _assignments(path: Path) -> dict[str, ast.expr]:
    """The variables of a dumped config, which is not executed."""
    try:
        tree = ast.parse(path.read_text(encoding='utf-8'))
    except (SyntaxError, ValueError) as error:
        raise InputError(f'{path}: not a dumped config: {error}') from None
    return {target.id: node.value for node in tree.body
            if isinstance(node, ast.Assign) for target in node.targets
            if isinstance(target, ast.Name)}


def _configured_seed(config: dict[str, ast.expr]) -> int | None:
    """``randomness['seed']``, which MMEngine dumps as dict(seed=...)."""
    value = config.get('randomness')
    pairs = []
    if isinstance(value, ast.Call):
        pairs = [(keyword.arg, keyword.value) for keyword in value.keywords]
    elif isinstance(value, ast.Dict):
        pairs = [(getattr(key, 'value', None), item)
                 for key, item in zip(value.keys, value.values)]
    seeds = [item.value for name, item in pairs
             if name == 'seed' and isinstance(item, ast.Constant)]
    return seeds[0] if seeds and isinstance(seeds[0], int) else None


def summarize(runs: Sequence[Run],
              metrics: Sequence[str],
              best: str | None = None) -> list[ConfigSummary]:
    """Group runs by config, in the order of their first run.

    Args:
        runs (Sequence[Run]): At least one.
        metrics (Sequence[str]): Which to keep.
        best (str, optional): Take each run's best evaluation by this metric.
            Defaults to None: the last.

    Raises:
        InputError: If a run lacks a metric.
    """
    groups: dict[str, ConfigSummary] = {}
    for run in runs:
        group = groups.setdefault(
            run.config, ConfigSummary(run.config, [], {m: [] for m in metrics}))
        evaluation = run.last() if best is None else run.best(best)
        group.seeds.append(run.seeds[-1] if run.seeds else None)
        for metric in metrics:
            group.values[metric].append(run.value(evaluation, metric))
    return list(groups.values())


def run_warnings(runs: Sequence[Run]) -> list[str]:
    """What makes the runs less alike, or less independent, than they look."""
    warnings = []
    by_config: dict[str, list[Run]] = {}
    by_seed: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        by_config.setdefault(run.config, []).append(run)
        if run.seeds:
            by_seed.setdefault((run.config, run.seeds[-1]), []).append(run)
        if len(run.seeds) > 1:
            warnings.append(
                f'{run.work_dir} has trainings with the seeds '
                f'{", ".join(map(str, run.seeds))}; it counts as one run, by '
                'its evaluations together')
        for outer in runs:
            if outer.work_dir.resolve() in run.work_dir.resolve().parents:
                warnings.append(f'{run.work_dir} lies in {outer.work_dir}: both '
                                'count, though they may be of the same weights')
    for first, *others in by_config.values():
        for run in others:
            differing = [name for name in SETTINGS if
                         run.settings.get(name) != first.settings.get(name)]
            if differing:
                warnings.append(
                    f'{first.work_dir} and {run.work_dir} have configs of one '
                    f'name that differ in {", ".join(differing)}')
    for (config, seed), same in by_seed.items():
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

    def write() -> None:
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

    _write('--csv', path, write)


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
