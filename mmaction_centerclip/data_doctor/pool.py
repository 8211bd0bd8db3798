"""Do jobs in processes, one of which may crash, and keep what is done."""
import json
import os.path as osp
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from mmengine.utils import ProgressBar

from mmaction_centerclip.files import write_text

__all__ = ['do_jobs', 'run_jobs']

_WORK: list[Callable] = []
# Jobs that share a pool of processes, of which a crash ends all.
CHUNK = 256


def run_jobs(work: Callable[[int], dict], keys: list[str], path: str,
             workers: int) -> list[dict]:
    """Do jobs that are not in the file of results yet, and add them to it.

    Args:
        work (Callable): Takes the number of a job and returns what JSON
            holds, in a process of its own if there are several workers.
        keys (list[str]): The name of each job. One whose key stands in the
            file is not done again.
        path (str): The file of results, a line each; made if it is missing.
            A last line that is not whole is dropped.
        workers (int): Processes.

    Returns:
        list[dict]: What each job returned. Of one that ends its process:
        ``state='unreadable'``, and a ``reason`` that says so.
    """
    done = _read_results(path)
    # Whole again, so that the next line begins where a line should.
    write_text(''.join(_line(key, result) for key, result in done.items()), path)
    open_jobs = [number for number, key in enumerate(keys) if key not in done]
    if not open_jobs:
        return [done[key] for key in keys]
    bar = ProgressBar(len(open_jobs))
    with open(path, 'a', encoding='utf-8') as file:
        for start in range(0, len(open_jobs), CHUNK):
            chunk = open_jobs[start:start + CHUNK]
            for number, result in do_jobs(work, chunk, workers):
                done[keys[number]] = result
                file.write(_line(keys[number], result))
                file.flush()
                bar.update()
    print()
    return [done[key] for key in keys]


def _line(key: str, result: dict) -> str:
    return json.dumps(dict(key=key, result=result)) + '\n'


def _read_results(path: str) -> dict[str, dict]:
    done: dict[str, dict] = {}
    if osp.isfile(path):
        with open(path, encoding='utf-8', errors='replace') as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    done[entry['key']] = dict(entry['result'])
                except (KeyError, TypeError, ValueError):
                    continue  # A run was killed while it wrote.
    return done


def do_jobs(work: Callable, jobs: list[int],
            workers: int) -> Iterator[tuple[int, object]]:
    """Do jobs together, and those that a crash left one by one.

    Args:
        work (Callable): Takes a job's number, in another process.
        jobs (list[int]): Their numbers.
        workers (int): Processes.

    Returns:
        Iterator[tuple[int, object]]: The number of each job and what it
        returned, as they end; of one that ends its process, as
        :func:`run_jobs`.
    """
    left = set(jobs)
    try:
        with _executor(work, workers) as executor:
            futures = {executor.submit(_call, number): number for number in jobs}
            for future in as_completed(futures):
                result = future.result()
                left.discard(futures[future])
                yield futures[future], result
    except BrokenProcessPool:
        for number in sorted(left):
            try:
                with _executor(work, 1) as executor:
                    result = executor.submit(_call, number).result()
            except BrokenProcessPool:
                result = dict(state='unreadable', reason='a decoder crashes on it')
            yield number, result


def _executor(work: Callable, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_prepare, initargs=(work, ))


def _prepare(work: Callable) -> None:
    _WORK[:] = [work]


def _call(number: int) -> dict:
    return _WORK[0](number)
