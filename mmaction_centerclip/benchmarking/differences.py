"""Compare reducers query by query, with intervals."""
from collections.abc import Sequence

import numpy as np

from .sweep import GROUP, WAYS, budget_text

DIRECTIONS = ('t2v', 'v2t')
ByVideo = Sequence[Sequence[float]]


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
