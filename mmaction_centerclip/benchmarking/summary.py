"""Summarize the evaluations of several runs (seeds) of a config."""
import math
import statistics
from collections.abc import Sequence

from mmaction_centerclip.errors import InputError

from .runs import Run


def summarize(runs: Sequence[Run], metrics: Sequence[str], best: str | None = None,
              which: str = 'val') -> list[dict[str, object]]:
    """Group runs by config and settings, in the order of their first run.

    Args:
        runs (Sequence[Run]): At least one.
        metrics (Sequence[str]): Names of those to keep.
        best (str, optional): Take each run's best evaluation by this metric.
            Defaults to None: the last.
        which (str): The validations, ``'val'``, or the tests, ``'test'``.
            Defaults to ``'val'``.

    Returns:
        list[dict[str, object]]: Of each group ``config``, ``runs``, ``seeds``,
        of validations ``epochs``,
        and, of each metric, ``'t2v/R1 values'`` of the runs, ``'t2v/R1 mean'``
        and sample standard deviation ``'t2v/R1 std'``, None of one run.

    Raises:
        InputError: If a run lacks such an evaluation or a metric.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(_compared(run, which).values()), []).append(run)
    rows, names = [], []
    for group in groups.values():
        name = group[0].config
        names.append(name)
        number = names.count(name)
        row = dict(
            config=f'{name} ({number})' if number > 1 else name, runs=len(group),
            seeds=','.join(str(run.seeds[-1]) if run.seeds else '?' for run in group))
        chosen = [_choose(run, which, best, metrics) for run in group]
        if which == 'val':
            row['epochs'] = ','.join(
                str(epoch) for run, found in zip(group, chosen)
                for epoch, x in zip(run.epochs, run.evaluations['val']) if x is found)
        for metric in metrics:
            values = row[f'{metric} values'] = [x[metric] for x in chosen]
            row[f'{metric} mean'] = statistics.fmean(values)
            row[f'{metric} std'] = statistics.stdev(values) if values[1:] else None
        rows.append(row)
    return rows


def _compared(run: Run, which: str) -> dict[str, str]:
    """Return what is equal in runs that differ in nothing but their seed."""
    other = dict(val='test data', test='val data')[which]
    return {'config': run.config, **{
        name: text for name, text in run.settings.items() if name != other}}


def _choose(run: Run, which: str, best: str | None,
            metrics: Sequence[str]) -> dict[str, float]:
    """Return the last evaluation, or the best one, the first of equals."""
    found = run.evaluations[which]
    if not found:
        kind = dict(val='validation', test='test')[which]
        raise InputError(f'{run.work_dir}: no {kind}, expected one')
    sign = -1 if (best or '').endswith(('MdR', 'MnR')) else 1

    def worth(evaluation: dict[str, float]) -> tuple[bool, float]:
        value = evaluation.get(best, math.nan)
        return not math.isnan(value), sign * value

    chosen = max(found, key=worth) if best else found[-1]
    for metric in filter(None, (best, *metrics)):
        if metric not in chosen:
            raise InputError(
                f'{run.work_dir}: the evaluation has no metric {metric!r}, '
                f'expected one of {", ".join(chosen)}')
    return chosen


def run_warnings(runs: Sequence[Run], which: str = 'val') -> list[str]:
    """Warn about runs that should not be averaged without a thought.

    Args:
        runs (Sequence[Run]): At least one.
        which (str): As for :func:`summarize`. Defaults to ``'val'``.
    """
    warnings, first, last, by_seed = [], {}, {}, {}
    for run in runs:
        name, settings = str(run.work_dir), _compared(run, which)
        if run.seeds[1:]:
            warnings.append(f'{name} has trainings with the seeds {run.seeds}; it '
                            'counts as one run, by its evaluations together')
        if run.other_tests:
            warnings.append(
                f'{name} has {len(run.other_tests)} tests on other data, which do '
                f'not count, the first being {run.other_tests[0]}')
        for outer in runs:
            if outer.work_dir.resolve() in run.work_dir.resolve().parents:
                warnings.append(f'{name} lies in {outer.work_dir}: both count, '
                                'though they may be of the same weights')
        if which == 'val' and run.epochs and run.epochs[-1] != last.setdefault(
                run.config, run.epochs[-1]):
            warnings.append(f'the last validation of {name} is of epoch '
                            f'{run.epochs[-1]}, '
                            f'that of the first run of {last[run.config]}')
        other, theirs = first.setdefault(run.config, (name, settings))
        differing = [key for key in settings if settings[key] != theirs[key]]
        if differing:
            warnings.append(
                f'{other} and {name} have configs of one name that differ in '
                f'{", ".join(differing)}; they are rows of their own')
        for seed in run.seeds[-1:]:
            by_seed.setdefault((seed, *settings.values()), []).append(name)
    return warnings + [
        f'{len(same)} runs of {config} have the seed {seed}, all of which count: '
        + ', '.join(same)
        for (seed, config, *_), same in by_seed.items() if len(same) > 1]
