"""Log a line, also where mmengine is not imported."""
import logging
import sys


def warn(text: str) -> None:
    """Log a warning in the log of the run; on standard error where there is none.

    Tools that prepare data do without mmengine, which takes seconds to import.
    """
    if 'mmengine' in sys.modules:
        from mmengine.logging import print_log
        print_log(text, 'current', logging.WARNING)
    else:
        print(f'WARNING: {text}', file=sys.stderr)
