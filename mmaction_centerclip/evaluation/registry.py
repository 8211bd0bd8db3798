"""Registries of further metrics and of re-rankings, and their base classes."""
import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence

from mmengine.registry import Registry

from mmaction_centerclip.errors import InputError, check_choice

from .scores import Scores

RETRIEVAL_METRICS = Registry('retrieval metric')
RERANKINGS = Registry('re-ranking')


class RetrievalMetric(ABC):
    """Further figures, which ``more_metrics`` lists by a name of ``RETRIEVAL_METRICS``.

    Attributes:
        needs_matrix (bool): Whether it reads ``scores.matrices``, which are
            then computed at once, and not in chunks before.
        several_captions (str): How it counts videos with several captions, if
            not as the recalls do.
    """
    needs_matrix = False
    several_captions = ''

    @abstractmethod
    def __call__(self, scores: Scores) -> dict[str, float]:
        """Return figures by name, such as ``t2v/gmean``."""


class Reranking(ABC):
    """A change of similarities, which ``rerank`` lists by a name of ``RERANKINGS``.

    The name is also that of its row of figures; its options are those of
    ``__init__``, which checks them.

    Attributes:
        needs_cosines (bool): Whether it is for similarities from -1 to 1 only.
    """
    needs_cosines = False

    @abstractmethod
    def __call__(self, scores: Scores) -> Scores:
        """Return new scores, see :meth:`Scores.replace`."""


def build_registered(option: str, registry: Registry,
                     chosen: Sequence[str | dict]) -> dict:
    """Build what an option lists, by registered names only.

    Args:
        option (str): The option, as a message names it.
        registry (Registry): Where the names are registered.
        chosen (Sequence[str | dict]): Each a name, or a dict with the name as
            ``type`` and the options of that class.
    """
    built = {}
    for given in chosen:
        options = dict(given) if isinstance(given, dict) else dict(type=given)
        name = check_choice(option, options.pop('type', None),
                            tuple(registry.module_dict))
        if name in built:
            raise InputError(f'{option}: {name} may stand once, got {chosen!r}')
        signature = inspect.signature(registry.module_dict[name])
        try:
            signature.bind(**options)
        except TypeError as error:
            raise InputError(f'{name}: {error}; its options are '
                             f'{tuple(signature.parameters)}') from None
        built[name] = registry.module_dict[name](**options)
    return built
