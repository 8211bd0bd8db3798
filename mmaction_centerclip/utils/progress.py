"""Show how far a loop is: a bar on a terminal, a line now and then in a file."""
import sys
import time
from collections.abc import Iterable, Iterator

from .tables import format_seconds

SECONDS_BETWEEN_LINES = 60


class Progress:
    """A bar on a terminal; elsewhere a line a minute, and one at the end."""

    def __init__(self, count: int) -> None:
        self.count, self.done = count, 0
        self._begin, self._said, self._bar = time.monotonic(), 0., None
        if sys.stdout.isatty():
            from rich import progress
            self._bar = progress.Progress(
                progress.BarColumn(), progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(), 'left', progress.TimeRemainingColumn())
            self._task = self._bar.add_task('', total=count)
            self._bar.start()

    def update(self) -> None:
        """Count one more as done."""
        self.done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
            if self.done >= self.count:
                self.close()
            return
        elapsed = time.monotonic() - self._begin
        if self.done >= self.count or elapsed - self._said >= SECONDS_BETWEEN_LINES:
            self._said = elapsed
            left = elapsed * (self.count / self.done - 1)
            print(f'{self.done}/{self.count}, elapsed: {format_seconds(elapsed)}, '
                  f'left: {format_seconds(left)}', flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()


def track(items: Iterable, count: int | None = None) -> Iterator:
    """Iterate over items, as many as they have or ``count``, and show how far it is."""
    bar = Progress(len(items) if count is None else count)
    try:
        for item in items:
            yield item
            bar.update()
    finally:
        bar.close()
