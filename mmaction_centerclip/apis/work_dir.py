"""What MMEngine's runner leaves in a work dir, read without running it."""
import ast
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from mmaction_centerclip.errors import InputError

__all__ = ['DATA', 'SETTINGS', 'Run', 'read_run']

LOWER_IS_BETTER = ('MdR', 'MnR')
# Variables of a dumped config in which runs of one config are to agree; of the
# dataloaders of evaluations, the data.
SETTINGS = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg',
            'train_dataloader')
DATA = dict(val='val_dataloader', test='test_dataloader')
# What a dataloader has that changes no figure.
LOADING = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')


@dataclass
class Run:
    """The evaluations of one work dir.

    Attributes:
        work_dir (Path): Where they were.
        config (str): Name of the config, without .py.
        evaluations (dict[str, list[dict[str, float]]]): Of ``'val'``, the
            validations of trainings, and ``'test'``, the metrics of each,
            oldest first, names without the prefix.
        other_tests (list[Path]): Folders of tests that are not among these,
            since they were on other data than the config's test data.
        seeds (list[int]): Seeds of the trainings in the work dir, oldest
            first, each once; those of tests are no seeds of the weights.
        settings (dict[str, str]): ``SETTINGS`` and ``DATA`` of the dumped
            config, of the last training if there is one, to be compared.
    """
    work_dir: Path
    config: str
    evaluations: dict[str, list[dict[str, float]]]
    other_tests: list[Path] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def last(self, which: str) -> dict[str, float]:
        """The last evaluation of ``'val'`` or ``'test'``.

        Raises:
            InputError: If there is none.
        """
        return self._of(which)[-1]

    def best(self, metric: str, which: str) -> dict[str, float]:
        """The best evaluation by one of its metrics, the first of equals.

        Args:
            metric (str): Its name.
            which (str): Of ``'val'`` or of ``'test'``.

        Raises:
            InputError: If there is none, or it has no such metric.
        """
        evaluations = self._of(which)
        values = [self.value(e, metric) for e in evaluations]
        sign = -1 if metric.endswith(LOWER_IS_BETTER) else 1
        known = [i for i, v in enumerate(values) if not math.isnan(v)] or [0]
        return evaluations[max(known, key=lambda i: sign * values[i])]

    def _of(self, which: str) -> list[dict[str, float]]:
        if not self.evaluations[which]:
            kind = {'val': 'validation', 'test': 'test'}[which]
            raise InputError(f'{self.work_dir}: no {kind}, expected one')
        return self.evaluations[which]

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


def read_run(work_dir: str | Path, prefix: str = 'retrieval') -> Run:
    """Read what MMEngine's runner left in a work dir.

    Each start of a tool makes a folder there, named by its time:
    ``<time>/vis_data/scalars.json`` has a line an evaluation (and a line each
    few iterations) of a training, ``<time>/<time>.json`` the metrics of a
    test. A work dir is one run, however often it was resumed. Tests on other
    data than that of the last training's ``test_dataloader`` are told apart.

    Args:
        work_dir (str | Path): The work dir itself, with the dumped config.
        prefix (str): Of the metrics' names. Defaults to ``'retrieval'``.

    Raises:
        InputError: If it is no work dir or has no evaluation, a file in it
            is damaged, or it has tests on several data and no training.
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
    validations, tests, seeds, trained = [], [], [], False
    for start in sorted(path for path in folder.iterdir() if path.is_dir()):
        lines = _read_lines(start / 'vis_data' / 'scalars.json')
        validations += filter(None, (_metrics_of(x, prefix) for x in lines))
        if any('loss' in line for line in lines):
            seeds += _seed_of(start, config)
            config, trained = _config_of(start, config), True
        result = start / f'{start.name}.json'
        if result.is_file():
            metrics = _metrics_of(
                _parse(result.read_text(encoding='utf-8'), str(result)), prefix)
            if metrics:
                tests.append((start, metrics))
    if not validations and not tests:
        raise InputError(
            f'{folder}: no evaluation, expected lines with {prefix}/... in '
            '<time>/vis_data/scalars.json or a <time>/<time>.json of a test')
    settings = _settings_of(config)
    others = [start for start, _ in tests if settings['test_dataloader'] !=
              _settings_of(_config_of(start, config))['test_dataloader']]
    if others and not trained:
        raise InputError(
            f'{folder}: its tests are on several test data, such as that of '
            f'{others[0].name}; expected one without a training that says which '
            'counts. Give each a --work-dir of its own')
    return Run(
        folder, configs[0],
        dict(val=validations,
             test=[metrics for start, metrics in tests if start not in others]),
        others, list(dict.fromkeys(seeds)), settings)


def _config_of(start: Path, default: dict[str, ast.expr]) -> dict[str, ast.expr]:
    """The config that one start of a tool dumped, or else another."""
    dumped = start / 'vis_data' / 'config.py'
    return _assignments(dumped) if dumped.is_file() else default


def _settings_of(config: dict[str, ast.expr]) -> dict[str, str]:
    """What is to be compared, as text; '' for what the config has not."""
    settings = {}
    for name in SETTINGS:
        value = config.get(name)
        if isinstance(value, ast.Call):
            value = ast.Call(value.func, value.args, [
                keyword for keyword in value.keywords
                if keyword.arg not in LOADING])
        settings[name] = '' if value is None else ast.dump(value)
    for name in DATA.values():
        data = _items(config.get(name)).get('dataset')
        settings[name] = '' if data is None else ast.dump(data)
    return settings


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
    seed = _items(_config_of(start, config).get('randomness')).get('seed')
    if isinstance(seed, ast.Constant) and isinstance(seed.value, int):
        return [seed.value]
    return []


def _assignments(path: Path) -> dict[str, ast.expr]:
    """The variables of a dumped config, which is not executed."""
    try:
        tree = ast.parse(path.read_text(encoding='utf-8'))
    except (SyntaxError, ValueError) as error:
        raise InputError(f'{path}: not a dumped config: {error}') from None
    return {target.id: node.value for node in tree.body
            if isinstance(node, ast.Assign) for target in node.targets
            if isinstance(target, ast.Name)}


def _items(value: ast.expr | None) -> dict[str, ast.expr]:
    """What is in a ``dict(...)``, as MMEngine dumps one, or a ``{...}``."""
    if isinstance(value, ast.Call):
        return {keyword.arg: keyword.value for keyword in value.keywords}
    if isinstance(value, ast.Dict):
        return {getattr(key, 'value', None): item
                for key, item in zip(value.keys, value.values)}
    return {}
