"""Read a pickle of texts and lists, and nothing else that a pickle can hold."""
import os.path as osp
import pickle

from mmaction_centerclip.errors import InputError

__all__ = ['read_plain_pickle']


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles dicts, lists, tuples, texts and numbers.

    Whatever a pickle runs, it first looks up as a global (`pickle's
    documentation <https://docs.python.org/3/library/pickle.html>`_,
    "Restricting Globals"); plain types need none.
    """

    def find_class(self, module: str, name: str) -> None:
        raise InputError(f'it asks for {module}.{name}, which no captions need; '
                         'nothing of it was run')


def read_plain_pickle(path: str) -> object:
    """Read a pickle without running anything in it.

    Args:
        path (str): The file, of any protocol, Python 2's too.

    Returns:
        object: Dicts, lists, tuples, sets, texts and numbers.

    Raises:
        InputError: If there is no such file, it holds anything else, or it is
            damaged.
    """
    if not osp.isfile(path):
        raise InputError(f'annotation file not found: {path}')
    try:
        with open(path, 'rb') as file:
            return _PlainUnpickler(file, encoding='utf-8').load()
    except InputError as error:
        raise InputError(f'{path} is refused: {error}') from None
    except Exception as error:  # A damaged pickle may raise anything.
        reason = (str(error).splitlines() or [''])[0] or type(error).__name__
        raise InputError(f'{path} is not a pickle of captions: {reason}') from None
