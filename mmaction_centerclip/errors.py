"""The exception that says the input is wrong, and the checks that raise it."""
import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from numbers import Real

__all__ = ['InputError', 'check_choice', 'check_number', 'check_positive_int',
           'named_errors', 'printable']


class InputError(ValueError):
    """Bad input from the user: a file, an option, or a value in either.

    The message names the file or option, the value received and what was
    expected. The command line tools print it without a traceback.
    """


def check_positive_int(name: str, value: object) -> int:
    """Return an option's value if it is a positive integer.

    Args:
        name (str): The option, as the message names it.
        value (object): Its value; a bool is not an integer here.

    Raises:
        InputError: If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f'{name} must be a positive integer, got {value!r}')
    return value


def check_number(name: str, value: object, accepts: Callable[[Real], bool],
                 expected: str) -> Real:
    """Return an option's value if it is a finite number of a range.

    Args:
        name (str): The option, as the message names it.
        value (object): Its value; neither a bool nor a text is a number here.
        accepts (Callable[[Real], bool]): Whether a number is in the range.
        expected (str): The range, such as ``'at least 0 and below 1'``.

    Raises:
        InputError: If it is anything else.
    """
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
    """Return an option's value if it is among the choices.

    Args:
        name (str): The option, as the message names it.
        value (object): Its value.
        choices (Collection): What it may be.

    Raises:
        InputError: If it is anything else.
    """
    if value not in choices:
        raise InputError(f'{name} must be one of {tuple(choices)}, got {value!r}')
    return value


def printable(text: object) -> str:
    """Return a text for a terminal, with all but plain characters escaped.

    Examples:
        >>> print(printable('caf\u00e9\\x1b[2J.mp4'))
        caf\u00e9\\x1b[2J.mp4
    """
    return ''.join(char if char.isprintable() else char.encode(
        'unicode_escape').decode() for char in str(text))


@contextlib.contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Put the name of a file or of an option's owner before an InputError.

    Args:
        name (str): The message becomes ``name: message``.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f'{name}: {error}') from error.__cause__
