"""Run the parts of :mod:`.gpu_parts` in a given time, and report their rows.

Each part is a process of its own (this module's ``__main__``), so that
neither a crash nor a kernel that hangs reaches the others.
"""
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from .gpu_parts import PARTS, STAGES, Case, Row, Settings
from .measure import describe_machine

__all__ = ['choose_stages', 'format_markdown', 'measure_cases', 'run_report']

Stages = Sequence[tuple[float, Sequence[str]]]


def measure_cases(cases: Iterable[Case], end: float) -> Iterator[Row]:
    """Measure cases until a time; what fails, or comes too late, says why.

    Args:
        cases (Iterable[Case]): Names, and what returns a row.
        end (float): When to begin no more of them, as ``time.time`` counts.

    Yields:
        dict: ``case``, and its figures or its ``error``.
    """
    cases = iter(cases)
    while True:
        case = 'the next case'
        try:
            case, run = next(cases)
            if time.time() > end:
                yield dict(case=case, error='not run: the time of this part was over')
            else:
                yield dict(case=case, **run())
        except StopIteration:
            return
        except Exception as error:
            yield dict(case=case, error=_reason(error))


def _reason(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), '')
    return f'{type(error).__name__}: {line}'


def run_part(name: str, settings: Settings, rows: str, end: float) -> None:
    """Append the rows of a part to a file, one a line, each as it is there."""
    with open(rows, 'a', encoding='utf-8') as file:
        for row in measure_cases(PARTS[name](settings), end):
            print(json.dumps(row), file=file, flush=True)


def choose_stages(names: Sequence[str] | None) -> Stages:
    """Return the stages of some parts, in their order; of all by default."""
    chosen = [(share, [part for part in parts if not names or part in names])
              for share, parts in STAGES]
    return [stage for stage in chosen if stage[1]]


def run_report(settings: Settings, minutes: float, stages: Stages,
               save: Callable[[dict], object]) -> dict:
    """Run parts, one stage after the other.

    Args:
        settings (Settings): For all of them.
        minutes (float): For all together. What a stage leaves over goes to
            the later ones.
        stages (Sequence): See :data:`gpu_parts.STAGES`.
        save (Callable): Called with the report after each stage.

    Returns:
        dict: What the rows were measured with, and ``rows``: a dict of each
        case with its ``part`` and ``case``, and its figures or its ``error``.
    """
    start = time.time()
    report = dict(device=describe_machine(settings.device), dry_run=settings.dry_run,
                  python=platform.python_version(), cuda=torch.version.cuda,
                  float32_matmul=torch.get_float32_matmul_precision(),
                  minutes=minutes, seconds=0.0, rows=[])
    for number, (share, names) in enumerate(stages):
        left = start + 60 * minutes - time.time()
        later = sum(share for share, _ in stages[number:])
        report['rows'] += _run_stage(names, settings, left * share / later)
        report['seconds'] = time.time() - start
        save(report)
    return report


def _run_stage(names: Sequence[str], settings: Settings, seconds: float) -> list[Row]:
    """Run parts at once, and return their rows."""
    end, rows = time.time() + seconds, []
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(settings, lock=str(Path(folder, 'lock')))
        runs = [(name, *_start(name, settings, Path(folder, str(number)), end,
                               end - seconds / 10))
                for number, name in enumerate(names)]
        try:
            for name, process, out in runs:
                error = _wait(process, end, seconds, out.with_suffix('.log'))
                lines = out.read_text(encoding='utf-8').splitlines()
                found = [json.loads(line) for line in lines if line.endswith('}')]
                found += [dict(case='the next case', error=error)] if error else []
                rows += [dict(part=name, **row) for row in found]
        finally:  # whatever ends this one
            for _, process, _ in runs:
                _kill(process)
    return rows


def _start(name: str, settings: Settings, out: Path, end: float,
           last: float) -> tuple[subprocess.Popen, Path]:
    """Start a part in a process of its own, which writes its rows to a file."""
    out.touch()
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get('PYTHONPATH')])]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    if settings.dry_run:
        env['TRITON_INTERPRET'] = '1'  # runs the kernel on the CPU
    with open(out.with_suffix('.log'), 'w') as log:
        process = subprocess.Popen(
            [sys.executable, '-m', __name__,
             json.dumps([name, asdict(settings), str(out), last])],
            stdout=log, stderr=log, env=env, start_new_session=True)
    return process, out


def _wait(process: subprocess.Popen, end: float, seconds: float, log: Path) -> str:
    """Wait for a part, end it where its time is over, and say what went wrong."""
    try:
        code = process.wait(max(end - time.time(), 0))
    except subprocess.TimeoutExpired:
        _kill(process)
        return f'stopped: {seconds:.0f} s, the time of this part, were over'
    if code == 0:
        return ''
    last = log.read_text(errors='replace').strip().splitlines()[-1:]
    how = signal.Signals(-code).name if code < 0 else f'exit code {code}'
    return ': '.join(['the process of this part ended by ' + how, *last])


def _kill(process: subprocess.Popen) -> None:
    """End a process that runs, and those that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def format_markdown(report: dict) -> str:
    """Format a report as a section of ``docs/performance.md``.

    Args:
        report (dict): See :func:`run_report`.
    """
    lines = ['## On a GPU', '']
    if report['dry_run']:
        lines += ['**A dry run, in small: its figures mean nothing.**', '']
    lines += [
        f'{report["device"]}, CUDA {report["cuda"]}, Python {report["python"]}; '
        f'float32 products in precision "{report["float32_matmul"]}"; '
        'random weights and pixels, calls in turns, medians. Compiled towers are timed '
        'one at a time, while others may be compiling. '
        f'`tools/analysis_tools/gpu_report.py` took {report["seconds"]:.0f} s.', '']
    for part in dict.fromkeys(row['part'] for row in report['rows']):
        rows = [row for row in report['rows'] if row['part'] == part]
        lines += [f'### {part[0].upper()}{part[1:]}', '', *_format_rows(rows), '']
    return '\n'.join(lines)


def _format_rows(rows: list[Row]) -> list[str]:
    """Format the rows of a part as a table, and those that failed as a list."""
    measured = [row for row in rows if 'error' not in row]
    lines = []
    if measured:
        titles = [title for title in measured[0] if title != 'part']
        lines = [f'| {" | ".join(titles)} |', '| --- ' * len(titles) + '|']
        lines += [f'| {" | ".join(_cell(row[title]) for title in titles)} |'
                  for row in measured]
    failed = [f'- {row["case"]}: {row["error"]}' for row in rows if 'error' in row]
    return lines + [''] * bool(lines and failed) + failed


def _cell(value: object) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


if __name__ == '__main__':
    part, options, *rest = json.loads(sys.argv[1])
    run_part(part, Settings(**options), *rest)
