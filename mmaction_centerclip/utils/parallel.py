"""Map a function over items in worker processes that may die."""
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool


class ProcessDied(RuntimeError):
    """The process that was at an item has died, as of a decoder's fault."""


def run_each(function: Callable, items: Iterable,
             workers: int) -> Iterator[tuple[object, object]]:
    """Call a function on each item, in processes, and yield what comes of it.

    A process that dies costs the item that it was at, for which another one starts.
    Processes end with this one, also when it is killed. Items come as they get ready,
    with what was returned, the exception that was raised, or :class:`ProcessDied`.
    """
    items = iter(items)
    # A pool of one process each: the one that breaks says which item did it.
    free = [_new_pool() for _ in range(workers)]
    running: dict[Future, tuple[ProcessPoolExecutor, object]] = {}
    try:
        while True:
            while free and (item := next(items, running)) is not running:
                pool = free.pop()
                try:
                    future = pool.submit(function, item)
                except BrokenProcessPool:  # It was killed while it waited.
                    pool = _new_pool()
                    future = pool.submit(function, item)
                running[future] = pool, item
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, item = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    pool.shutdown()
                    pool = _new_pool()
                    error = ProcessDied('the process that was at it has died')
                free.append(pool)
                yield item, error or future.result()
    finally:
        for pool in (*free, *(pool for pool, _ in running.values())):
            pool.shutdown(cancel_futures=True)


def _new_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(), ))


def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
