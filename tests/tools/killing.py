"""Tools that are killed at random moments of their work."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

from ..paths import TOOLS

STARTER = """
import os, runpy, signal, sys
import mmaction_centerclip
import mmaction_centerclip.cli
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        del sys.argv[0]
        try:
            runpy.run_path(sys.argv[0], run_name='__main__')
        finally:
            os._exit(0)
    print(pid, flush=True)
"""


@contextlib.contextmanager
def starter(script, args):
    """Give what starts a tool as often as wanted, as the leader of a group.

    By forks of one process, which imports once and, unlike one of the tests,
    has no threads.
    """
    command = [sys.executable, '-W', 'ignore', '-c', STARTER, TOOLS / script, *args]
    with subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:

        def start():
            process.stdin.write('go\n')
            process.stdin.flush()
            pid = int(process.stdout.readline())
            while is_running(pid) and os.getpgid(pid) != pid:
                time.sleep(.001)
            return pid

        yield start
        process.stdin.close()


def is_running(pid):
    return os.path.exists(f'/proc/{pid}')


def kill_at_random(script, args, moments, check, restart, progress, steps=24):
    """Start a tool and kill it with all its processes, again and again.

    A random while after it has done a random number of its steps, such as videos,
    so that the moments are of its work however fast the machine is.
    """
    draw, killed = random.Random(7), 0
    with starter(script, args) as start:
        while killed < moments:
            pid, target = start(), draw.randrange(steps)
            while is_running(pid) and progress() < target:
                time.sleep(.002)
            time.sleep(draw.uniform(0, .03))
            if not is_running(pid):
                check()
                restart()
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            while is_running(pid):
                time.sleep(.002)
            killed += 1
            check()
            if draw.random() < .5:  # else the next one goes on from there
                restart()
