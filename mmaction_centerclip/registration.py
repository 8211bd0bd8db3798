"""Repair the stock zoo where needed, and register everything of this package."""
from . import compat

compat.apply()

from mmaction import registry  # noqa: E402
from mmengine.registry import Registry  # noqa: E402

from . import datasets, engine, evaluation, models  # noqa: E402
from .evaluation import RERANKINGS, RETRIEVAL_METRICS  # noqa: E402
from .utils.option_types import check_registered_types  # noqa: E402

__all__ = ['compat', 'datasets', 'engine', 'evaluation', 'models']

check_registered_types([
    RERANKINGS, RETRIEVAL_METRICS,
    *(each for each in vars(registry).values() if isinstance(each, Registry))])
