"""Further metrics, registered by the names that ``more_metrics`` lists."""
import math
from abc import ABC, abstractmethod

from mmengine.registry import Registry

from .scores import Scores

RETRIEVAL_METRICS = Registry('retrieval metric')
"""Classes that ``more_metrics`` of the metric names."""


class RetrievalMetric(ABC):
    """Further figures, which ``more_metrics`` lists by a registered name."""
    needs_matrix = False  # True: it reads ``scores.matrices``, computed at once
    several_captions = ''  # how it counts videos with several, if not as recalls

    @abstractmethod
    def __call__(self, scores: Scores) -> dict[str, float]:
        """Return figures by name, such as ``t2v/gmean``."""


@RETRIEVAL_METRICS.register_module(name='gmean')
class GeometricMean(RetrievalMetric):
    """Geometric mean of R@1, R@5 and R@10, of each direction."""

    def __call__(self, scores: Scores) -> dict[str, float]:
        figures = scores.figures((1, 5, 10))
        return {f'{direction}/gmean': math.prod(
                    figures[f'{direction}/R{k}'] for k in (1, 5, 10))**(1 / 3)
                for direction in scores.counts}


@RETRIEVAL_METRICS.register_module(name='Rsum')
class RecallSum(RetrievalMetric):
    """Sum of R@1, R@5 and R@10 over both directions."""

    def __call__(self, scores: Scores) -> dict[str, float]:
        figures = scores.figures((1, 5, 10))
        return dict(Rsum=sum(figures[f'{direction}/R{k}']
                             for direction in scores.counts for k in (1, 5, 10)))


class _Relevance(RetrievalMetric):
    needs_matrix = True
    several_captions = ('video-to-text: each video ranks all single captions, of '
                        'which its own are relevant')
    figure = ''

    def __call__(self, scores: Scores) -> dict[str, float]:
        return {name: value for name, value in scores.relevance.items()
                if name.endswith(f'/{self.figure}')}


@RETRIEVAL_METRICS.register_module(name='mAP')
class MeanAveragePrecision(_Relevance):
    """Mean average precision, see :func:`relevance_metrics`."""
    figure = 'mAP'


@RETRIEVAL_METRICS.register_module(name='NDCG')
class NDCG(_Relevance):
    """Normalized discounted cumulative gain, see :func:`relevance_metrics`."""
    figure = 'NDCG'
