"""Tools, in this process or in others that begin with everything imported."""
import ast
import contextlib
import io
import multiprocessing
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mmengine.config.config
import pytest
from mmaction.visualization import ActionVisualizer
from mmengine.logging import MessageHub, MMLogger

from .paths import TOOLS


def leave_unformatted(text: str, **_) -> tuple[str, bool]:
    """Stand in for yapf, which takes longer over a config than a toy's training."""
    ast.parse(text)
    return text, False


mmengine.config.config.FormatCode = leave_unformatted

# Forks of a server that imports once, and that, unlike this process, has no threads.
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['mmaction_centerclip.apis', 'mmaction_centerclip.cli',
                               'mmaction.models'])


def forget_runs() -> None:
    """Forget the runs before: one of the same second would be gone on with."""
    for manager in (MMLogger, MessageHub, ActionVisualizer):
        manager._instance_dict.clear()


def run_tool(script, *args) -> str:
    """Run a tool in this process; what it printed, or the error that ended it."""
    path = TOOLS / script
    forget_runs()
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, 'argv', [path.name, *map(str, args)])
        patch.syspath_prepend(str(path.parent))
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as error:
            return str(error)
    return printed.getvalue()


def start(function: Callable, *args, log=os.devnull) -> multiprocessing.Process:
    """Start a function in a process that leads a group; what it prints is a file's."""
    process = SERVER.Process(target=_lead, args=(function, args, str(log)))
    process.start()
    with contextlib.suppress(ProcessLookupError):  # It has ended.
        while process.is_alive() and os.getpgid(process.pid) != process.pid:
            time.sleep(.001)
    return process


def start_tool(script, *args, log=os.devnull) -> multiprocessing.Process:
    """Start a tool in a process of its own."""
    return start(_run, str(TOOLS / script), list(map(str, args)), log=log)


def free_port() -> int:
    """Find a port of this machine that nothing uses."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def launch(script, *args, log) -> None:
    """Run a launcher, with forks in place of the processes that torchrun starts."""
    ranks = start_launch(script, *args, log=log)
    for process in ranks:
        process.join()
    assert not any(process.exitcode for process in ranks), Path(log).read_text()


def start_launch(script, *args, log) -> list[multiprocessing.Process]:
    """Start a launcher as :func:`launch` does."""
    folder = Path(log).with_name('bin')
    folder.mkdir(exist_ok=True)
    (folder / 'torchrun').write_text('#!/bin/bash\nprintf "%s\\0" "$@"\n')
    (folder / 'torchrun').chmod(0o755)
    words = subprocess.run(
        ['bash', TOOLS / script, *map(str, args)], check=True, capture_output=True,
        text=True, env=dict(os.environ, PATH=f'{folder}:{os.environ["PATH"]}'),
    ).stdout.split('\0')[:-1]
    start_of = next(i for i, word in enumerate(words) if not word.startswith('--'))
    options = dict(word[2:].split('=') for word in words[:start_of])
    count = options['nproc_per_node']
    return start_ranks(int(count), *words[start_of:], log=log)


def start_ranks(count, *words, names=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), log
                ) -> list[multiprocessing.Process]:
    """Start processes as a launcher does, which says their number by variables."""
    known = dict(MASTER_PORT=str(free_port()), MASTER_ADDR='127.0.0.1',
                 LOCAL_WORLD_SIZE=str(count))
    return [start(_run_rank, dict(known, **dict(zip(names, map(str, (i, count, i))))),
                  *map(str, words), log=log) for i in range(count)]


def _run_rank(variables, path, *args):
    os.environ.update(variables)
    _run(path, args)


def _lead(function, args, log):
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # as in a user's process
    for number in (1, 2):
        os.dup2(os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY), number)
    function(*args)


def _run(path, args):
    sys.argv = [path, *args]
    sys.path.insert(0, os.path.dirname(path))
    runpy.run_path(path, run_name='__main__')


def kill(process: multiprocessing.Process) -> None:
    """Kill a process with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def kill_at_random(script, args, moments, check, restart, progress, steps=24):
    """Start a tool and kill it with all its processes, again and again.

    A random while after it has done a few more of its steps, such as videos, so that
    the moments are of all its work however fast the machine is.
    """
    draw, killed = random.Random(7), 0
    while killed < moments:
        target = progress() + draw.randrange(max(2, steps // 4))
        process = start_tool(script, *args)
        while process.is_alive() and progress() < target:
            time.sleep(.002)
        time.sleep(draw.uniform(0, .03))
        if not process.is_alive():
            check()
            restart()
            continue
        kill(process)
        killed += 1
        check()
        if draw.random() < .2:  # else the next one goes on from there
            restart()
