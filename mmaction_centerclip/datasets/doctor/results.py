"""Do jobs in processes, and keep what is done for a run that goes on."""
import json
import os.path as osp
from collections.abc import Callable

from mmaction_centerclip.utils.files import write_text
from mmaction_centerclip.utils.parallel import ProcessDied, run_each
from mmaction_centerclip.utils.progress import Progress

__all__ = ['run_jobs']


def run_jobs(function: Callable, jobs: dict[str, object], path: str,
             workers: int) -> list[dict]:
    """Do jobs that are not in the file of results yet, and add them to it.

    Args:
        function (Callable): Takes a job, in a process, and returns what JSON
            holds. What it raises ends the run: it is no file's fault.
        jobs (dict[str, object]): By their names. One whose name stands in the
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
    waiting = [(key, function, job) for key, job in jobs.items() if key not in done]
    if waiting:
        print('Reading videos')
        bar = Progress(len(waiting))
        with open(path, 'a', encoding='utf-8') as file:
            for (key, *_), result in run_each(_call, waiting, workers):
                if isinstance(result, ProcessDied):
                    result = dict(state='unreadable', reason='a decoder crashes on it')
                elif isinstance(result, Exception):
                    raise result
                done[key] = result
                file.write(_line(key, result))
                file.flush()
                bar.update()
        print()
    return [done[key] for key in jobs]


def _call(item: tuple[str, Callable, object]) -> dict:
    _, function, job = item
    return function(job)


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
