"""Show how far a loop is: a bar on a terminal, a line now and then in a file."""
import sys
from collections.abc import Iterable, Iterator

from mmengine.utils import ProgressBar, Timer

SECONDS_BETWEEN_LINES = 60


class Progress(ProgressBar):
    """A bar on a terminal; elsewhere a line a minute, and one at the end."""

    def __init__(self, count: int) -> None:
        self._in_lines, self._said = not sys.stdout.isatty(), 0.
        super().__init__(count, start=not self._in_lines, file=sys.stdout)
        if self._in_lines:
            self.timer = Timer()

    def update(self, num_tasks: int = 1) -> None:
        if not self._in_lines:
            return super().update(num_tasks)
        self.completed += num_tasks
        elapsed = self.timer.since_start()
        if self.completed >= self.task_num or (
                elapsed - self._said >= SECONDS_BETWEEN_LINES):
            self._said = elapsed
            left = elapsed * (self.task_num / self.completed - 1)
            print(f'{self.completed}/{self.task_num}, elapsed: {elapsed:.0f}s, '
                  f'ETA: {left:.0f}s', flush=True)


def track(items: Iterable, count: int | None = None) -> Iterator:
    """Iterate over items, as many as they have or ``count``, and show how far it is."""
    bar = Progress(len(items) if count is None else count)
    for item in items:
        yield item
        bar.update()
    if sys.stdout.isatty():
        print()
