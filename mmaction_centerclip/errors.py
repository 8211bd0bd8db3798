"""The one exception that means: the input, not the code, is wrong."""

__all__ = ['InputError']


class InputError(ValueError):
    """Bad input from the user: a file, an option, or a value in either.

    The message names the file or option, the value received and what was
    expected. The command line tools print it without a traceback.
    """
