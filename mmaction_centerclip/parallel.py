"""Do the same to many files, in processes, none of which ends the others."""
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

__all__ = ['run_each']


def run_each(function: Callable, items: Sequence,
             workers: int) -> Iterator[tuple[object, object]]:
    """Call a function on each item, in processes, and give what comes of it.

    A process that dies, as of a decoder's fault, costs the item that it was
    at. Processes end with this one, also when it is killed.

    Args:
        function (Callable): Of an item; it and what it returns are pickled.
        items (Sequence): Of any kind that can be pickled.
        workers (int): Processes at once.

    Yields:
        tuple[object, object]: An item, and what the function returned or the
        exception that it raised, in the order in which they are ready.
    """
    waiting = list(reversed(items))
    while waiting:
        pool = _new_pool(workers)
        running: dict[Future, object] = {}
        lost = []
        with pool:
            while (waiting and not lost) or running:
                while waiting and not lost and len(running) < 2 * workers:
                    item = waiting.pop()
                    try:
                        running[pool.submit(function, item)] = item
                    except BrokenProcessPool:
                        lost.append(item)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    item, result = running.pop(future), _result(future)
                    if isinstance(result, BrokenProcessPool):
                        lost.append(item)
                    else:
                        yield item, result
        # One of them is to blame; alone, it shows which.
        for item in lost:
            with _new_pool(1) as pool:
                result = _result(pool.submit(function, item))
            if isinstance(result, BrokenProcessPool):
                result = RuntimeError('the process that was at it has died')
            yield item, result


def _result(future: Future) -> object:
    return future.exception() or future.result()


def _new_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=_end_with, initargs=(os.getpid(), ))


def _end_with(parent: int) -> None:
    """Let this process end soon after its parent, which may be killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
