"""Train the cells of a sweep, each in a process that ends with the sweep."""
import multiprocessing
import os
import runpy
import sys
import threading
from pathlib import Path

import torch
from mmengine.config import Config

from mmaction_centerclip.engine import find_resumable
from mmaction_centerclip.errors import InputError


def run_training(tool: str, work_dir: Path, cfg: Config, seed: int, name: str) -> str:
    """Train by a tool such as tools/train.py, going on where a killed one ended.

    In ``work_dir / name``, the config and the log beside it. Returns the last
    checkpoint.
    """
    folder = work_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder.with_suffix('.py'))
    log = folder.with_suffix('.log')
    log.touch()
    process = _fresh_processes().Process(target=_train, args=(log, [
        tool, str(folder.with_suffix('.py')), '--work-dir', str(folder), '--seed',
        str(seed), '--resume', '--no-validate']))
    process.start()
    try:
        process.join()
    finally:
        process.terminate()
    if process.exitcode:
        said = log.read_text(errors='replace').splitlines() or ['']
        raise InputError(f'the training ended with code {process.exitcode}, see {log}: '
                         f'{said[-1].removeprefix("error: ")}')
    found = find_resumable(str(folder))
    if found is None:
        raise InputError(f'{folder}: the training left no checkpoint there; see '
                         'default_hooks.checkpoint of the config')
    return found


def _fresh_processes() -> multiprocessing.context.BaseContext:
    """Return the context of processes that start with everything imported.

    But for a GPU, which processes that fork where it was looked for cannot use.
    """
    if torch.cuda.is_available() or not hasattr(os, 'fork'):
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmaction_centerclip', 'mmaction.models',
                                    'mmaction_centerclip.benchmarking'])
    return context


def _train(log: Path, words: list[str]) -> None:
    """Run a tool in this process, whose output goes to the log.

    The process ends with the one that started it, also with one that is killed: the
    next sweep goes on in the same folder.
    """
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(), ),
                     daemon=True).start()
    with log.open('a') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = words
    runpy.run_path(words[0], run_name='__main__')


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
