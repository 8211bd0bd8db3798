"""The exception that says the input is wrong, the checks that raise it, and warnings.

Whatever takes an option raises an :class:`InputError` if it is a bad one.
"""
import contextlib
import importlib
import logging
import math
import os
import pickle
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from numbers import Real
from types import ModuleType

MOST_SHOWN = 20  # of the problems of one input


class InputError(ValueError):
    """Bad input from the user: the message names it, its value and what is expected."""


class InputErrors(InputError):
    """Several problems of an input, of which the message tells the first, a line each.

    Args:
        problems (Sequence[str]): What an :class:`InputError` would say of each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        more = len(self.problems) - MOST_SHOWN
        return '\n  '.join([f'{len(self.problems)} problems:',
                           *(' '.join(text.split())
                             for text in self.problems[:MOST_SHOWN]),
                           *([f'and {more} more'] if more > 0 else [])])


class Problems:
    """Collects the problems of an input, so that a user can mend all of them at once.

    At the end of its ``with`` all are raised together, as the one InputError if there
    is one, else as :class:`InputErrors`.

    Examples:
        >>> with Problems() as problems:
        ...     for line, size in enumerate([1, 0, 'b'], start=1):
        ...         with problems.of(f'sizes.csv, line {line}'):
        ...             check_positive_int('the size', size)
        Traceback (most recent call last):
        mmaction_centerclip.errors.InputErrors: 2 problems:
          sizes.csv, line 2: the size must be a positive integer, got 0
          sizes.csv, line 3: the size must be a positive integer, got 'b'
    """

    def __init__(self) -> None:
        self._found: list[str] = []

    def __enter__(self) -> 'Problems':
        return self

    def __exit__(self, kind: type | None, error: BaseException | None,
                 traceback: object) -> None:
        if isinstance(error, InputError):
            self._found += _each(error)
        if error is None or isinstance(error, InputError):
            self.check()

    def add(self, text: str) -> None:
        """Collect what an InputError would say."""
        self._found.append(text)

    @contextlib.contextmanager
    def of(self, place: str | None = None) -> Iterator[None]:
        """Collect an InputError that is raised inside, as one of a place if given."""
        try:
            yield
        except InputError as error:
            self._found += [f'{place}: {text}' if place else text
                            for text in _each(error)]

    def check(self) -> None:
        """Raise what was found so far, where going on would be of no use."""
        found, self._found = self._found, []
        if len(found) == 1:
            raise InputError(found[0]) from None
        if found:
            raise InputErrors(found) from None


def _each(error: InputError) -> Sequence[str]:
    return error.problems if isinstance(error, InputErrors) else [str(error)]


def check_positive_int(name: str, value: object) -> int:
    """Return an option's value if it is a positive integer, and not a bool."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f'{name} must be a positive integer, got {value!r}')
    return value


def check_number(name: str, value: object, accepts: Callable[[Real], bool],
                 expected: str) -> Real:
    """Return an option's value if it is a finite number, not a bool, in a range."""
    try:
        is_finite = isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        raise InputError(f'{name} must be a finite number, got one of '
                         f'{math.log10(value):.0f} digits') from None
    if isinstance(value, bool) or not is_finite:
        raise InputError(f'{name} must be a finite number, got {value!r}')
    if not accepts(value):
        raise InputError(f'{name} must be {expected}, got {value!r}')
    return value


def check_choice(name: str, value: object, choices: Collection) -> object:
    """Return an option's value if it is among the choices."""
    if value not in choices:
        raise InputError(f'{name} must be one of {tuple(choices)}, got {value!r}')
    return value


def printable(text: object) -> str:
    """Return a text for a terminal, with all but plain characters escaped.

    Examples:
        >>> print(printable('Z\u00fcrich\\x1b[2J.mp4'))
        Z\u00fcrich\\x1b[2J.mp4
    """
    return ''.join(char if char.isprintable() else char.encode(
        'unicode_escape').decode() for char in str(text))


@contextlib.contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Prefix InputErrors raised inside with the name of a file or an option."""
    try:
        yield
    except InputErrors as error:
        raise InputErrors([f'{name}: {text}' for text in error.problems]) from None
    except InputError as error:
        raise InputError(f'{name}: {error}') from error.__cause__


@contextlib.contextmanager
def config_errors(part: str | os.PathLike) -> Iterator[None]:
    """Turn errors of building into an InputError that names a part of the config.

    Put it only around what reads a config or builds from it: elsewhere it hides bugs.
    """
    try:
        yield
    except (InputError, OSError, pickle.UnpicklingError):
        raise  # These name what is wrong themselves.
    except Exception as error:
        kind = type(error).__name__
        told = kind in ('KeyError', 'AssertionError', 'AttributeError', 'NameError')
        text = ' '.join(str(error).split()) or 'an error without a message'
        raise InputError(f'{part}: {kind + ": " if told else ""}{text}') from error


def explain_refusal(error: pickle.UnpicklingError) -> str:
    """Return in one line why torch's safe loading refused a file."""
    for line in str(error).splitlines():
        if any(word in line for word in ('GLOBAL', 'attribute', 'dtype')):
            return ('the checkpoint is refused, it holds more than weights and '
                    f'training state: {line.strip()}')
    return 'not a readable checkpoint, it is damaged or of another kind'


def import_packages(what: str, extra: str, *names: str) -> list[ModuleType]:
    """Import packages of an extra, or say how to install one for ``what``."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise InputError(
            f'{what} needs {error.name}, which is not installed: pip install '
            f"'mmaction_centerclip[{extra}]', or pip install -e '.[{extra}]' in a copy "
            'of the repository') from error


def warn(text: str) -> None:
    """Log a warning in the log of the run; on standard error where there is none.

    Tools that prepare data do without mmengine, which takes seconds to import.
    """
    if 'mmengine' in sys.modules:
        from mmengine.logging import print_log
        print_log(text, 'current', logging.WARNING)
    else:
        print(f'WARNING: {text}', file=sys.stderr)
