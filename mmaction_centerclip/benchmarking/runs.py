"""Read what MMEngine's runner leaves in a work dir, executing none of it."""
import ast
import json
import sys
from pathlib import Path
from typing import NamedTuple

from mmaction_centerclip.errors import InputError

# What a dataloader has that changes no figure.
LOADING = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')


class Run(NamedTuple):
    """The evaluations of one work dir.

    Attributes:
        work_dir (Path): Where they were.
        config (str): Name of the config, without .py.
        evaluations (dict[str, list[dict[str, float]]]): Metrics of each
            validation in training, ``'val'``, and of each test on the
            config's test data, ``'test'``, oldest first.
        other_tests (list[str]): The tests on other data.
        seeds (list[int]): Seeds in the trainings' configs, oldest first.
        settings (dict[str, str]): What runs to be averaged have in common.
        epochs (list[int]): Epoch of each validation.
    """
    work_dir: Path
    config: str
    evaluations: dict[str, list[dict[str, float]]]
    other_tests: list[str]
    seeds: list[int]
    settings: dict[str, str]
    epochs: list[int]


def read_run(work_dir: str | Path, prefix: str = 'retrieval') -> Run:
    """Read what MMEngine's runner left in a work dir.

    Each start of a tool makes a folder there, named by its time:
    ``<time>/vis_data/scalars.json`` has the lines of a training, ``<time>/<time>.json``
    the metrics of a test. A work dir is one run, however often it was resumed; its test
    data is that of the last training, or of the last test if there is none.

    Args:
        work_dir (str | Path): The work dir itself, with the dumped config.
        prefix (str): Prefix of the metrics' names. Defaults to ``'retrieval'``.

    Raises:
        InputError: If it is no work dir or has no evaluation, or a file in it
            is damaged.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise InputError(f'no such work dir: {work_dir}')
    configs = sorted(folder.glob('*.py'))
    if len(configs) != 1:
        raise InputError(f'{folder}: a work dir has one dumped config, *.py, got '
                         f'{", ".join(path.stem for path in configs) or "none"}')
    config = _read_config(configs[0])
    validations, epochs, tests, seeds = [], [], [], []
    for start in sorted(filter(Path.is_dir, folder.iterdir())):
        dumped = _read_config(start / 'vis_data' / 'config.py') or config
        lines = _read_json(start / 'vis_data' / 'scalars.json')
        for line in lines:
            if metrics := _metrics(line, prefix):
                validations.append(metrics)
                epochs.append(line.get('step'))
        if any('loss' in line for line in lines):
            config = dumped
            seed = _entry(config, 'randomness', 'seed')
            seeds += [int(seed)] if seed.isdigit() else []
        for line in _read_json(start / f'{start.name}.json'):
            if metrics := _metrics(line, prefix):
                tests.append((_settings(dumped)['test data'], start.name, metrics))
    if not validations and not tests:
        raise InputError(
            f'{folder}: no evaluation, expected lines with {prefix}/... in '
            '<time>/vis_data/scalars.json or a <time>/<time>.json of a test')
    settings = _settings(config)
    alike = [metrics for data, _, metrics in tests if data == settings['test data']]
    others = [name for data, name, _ in tests if data != settings['test data']]
    return Run(folder, configs[0].stem, dict(val=validations, test=alike), others,
               list(dict.fromkeys(seeds)), settings, epochs)


def _read_config(path: Path) -> dict[str, object]:
    """Read the variables of a dumped config; none if there is no file."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f'{path}: not a dumped config: not a regular file')
    try:
        tree = ast.parse(path.read_text(encoding='utf-8') if path.is_file() else '')
    except (MemoryError, RecursionError, SyntaxError, ValueError) as error:
        raise InputError(f'{path}: not a dumped config: {error}') from None
    return {ast.unparse(node.targets[0]): _plain(node.value)
            for node in tree.body if isinstance(node, ast.Assign)}


def _plain(value: ast.expr) -> object:
    """Turn ``dict(...)`` and ``{...}`` into dicts, anything else into text."""
    if isinstance(value, ast.Call):
        return {word.arg: _plain(word.value) for word in value.keywords
                if word.arg not in LOADING}
    if isinstance(value, ast.Dict):
        return {getattr(key, 'value', None): _plain(item)
                for key, item in zip(value.keys, value.values)}
    return ast.unparse(value)


def _settings(config: dict[str, object]) -> dict[str, str]:
    names = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg',
             'train_dataloader')
    return dict({name: str(config.get(name)) for name in names},
                **{f'{which} data': _entry(config, f'{which}_dataloader', 'dataset')
                   for which in ('val', 'test')})


def _entry(config: dict[str, object], name: str, key: str) -> str:
    value = config.get(name)
    return str(value.get(key)) if isinstance(value, dict) else ''


def _read_json(path: Path) -> list[dict]:
    """Read JSON objects, one a line; a killed training may cut the last."""
    lines = path.read_text(encoding='utf-8', errors='replace').split(
        '\n') if path.is_file() else []
    contents = []
    for number, line in enumerate(lines[:-1] or lines, start=1):
        try:
            contents.append(dict(json.loads(line or '{}', parse_int=_to_number)))
        except (RecursionError, TypeError, ValueError) as error:
            raise InputError(f'{path}, line {number}: expected a JSON object, got '
                             f'{line[:40]!r}: {error}') from None
    return contents


def _to_number(digits: str) -> int:
    """Read an integer that has a mean with others."""
    number = int(digits)
    if abs(number) > sys.float_info.max:
        raise ValueError(f'an integer of {len(digits)} digits')
    return number


def _metrics(line: dict, prefix: str) -> dict[str, float]:
    return {key.removeprefix(f'{prefix}/'): value for key, value in line.items()
            if key.startswith(f'{prefix}/') and isinstance(value, (int, float))}
