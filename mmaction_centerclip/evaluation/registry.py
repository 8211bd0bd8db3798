"""Registries of further metrics and of re-rankings, and their base classes."""
import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mmengine.registry import Registry
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_choice

from .feature_file import RetrievalFeatures
from .relevance import relevance_metrics
from .scorer import Scorer

RETRIEVAL_METRICS = Registry('retrieval metric')
RERANKINGS = Registry('re-ranking')


@dataclass(frozen=True)
class Rankings:
    """The figures of one row, plain or re-ranked, and their similarities.

    Attributes:
        figures (dict[str, float]): See :func:`retrieval_metrics`.
        matrices (dict[str, Tensor]): Similarities (texts, videos) of ``t2v``
            and ``v2t``; empty if nothing asked for them.
        video_of_text (Tensor): Each caption's own video, int64 (texts, ).
    """
    figures: dict[str, float]
    matrices: dict[str, Tensor]
    video_of_text: Tensor

    @cached_property
    def relevance(self) -> dict[str, float]:
        """See :func:`relevance_metrics`; mAP and NDCG share its sort."""
        return {
            name: value for direction, matrix in self.matrices.items()
            for name, value in relevance_metrics(
                matrix, self.video_of_text, (direction, )).items()
        }


class RetrievalMetric(ABC):
    """Compute further figures of a row.

    ``more_metrics`` lists it by its name in ``RETRIEVAL_METRICS``.
    """
    needs_recalls: tuple[int, ...] = ()
    """The k of the recalls that it is made of, which ``topk`` must have."""
    needs_matrix = False
    """Whether it needs the similarities of all pairs."""
    several_captions = ''
    """How it counts videos with several captions, if not as the recalls do."""

    @abstractmethod
    def __call__(self, rankings: Rankings) -> dict[str, float]:
        """Return its figures by name, such as ``t2v/gmean``."""


class Reranking(ABC):
    """Change similarities at inference.

    ``rerank`` lists it by its name in ``RERANKINGS``, also the name of its
    row of figures, with the options of ``__init__``, which checks them.
    """
    needs_cosines = False
    """Whether it is for similarities from -1 to 1 only."""

    @abstractmethod
    def __call__(self, features: RetrievalFeatures, matrix: Tensor,
                 scorer: Scorer) -> dict[str, Tensor]:
        """Return new similarities (texts, videos) of ``t2v`` and ``v2t``.

        Args:
            features (RetrievalFeatures): All videos and captions.
            matrix (Tensor): Their similarities, shape (texts, videos).
            scorer (Scorer): Compares them with others.
        """


def build_registered(option: str, registry: Registry,
                     chosen: Sequence[str | dict]) -> dict:
    """Build what an option lists, by registered names only.

    Args:
        option (str): The option, as a message names it.
        registry (Registry): Where the names are registered.
        chosen (Sequence[str | dict]): Each a name, or a dict with the name as
            ``type`` and the options of that class.

    Raises:
        InputError: If a name is unknown or stands twice, or an option of its
            class is unknown, missing or out of range.
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


def import_modules_of(package: str, path: Iterable[str]) -> None:
    """Import all modules of a package, by its ``__name__`` and ``__path__``."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f'{package}.{module.name}')
