"""Geometric mean of the recalls."""
import math

from ..registry import RETRIEVAL_METRICS, Rankings, RetrievalMetric


@RETRIEVAL_METRICS.register_module(name='gmean')
class GeometricMean(RetrievalMetric):
    """Geometric mean of R@1, R@5 and R@10, of each direction."""
    needs_recalls = (1, 5, 10)

    def __call__(self, rankings: Rankings) -> dict[str, float]:
        """Return ``t2v/gmean`` and ``v2t/gmean``."""
        figures = rankings.figures
        recalls = {direction: [figures[f'{direction}/R{k}'] for k in self.needs_recalls]
                   for direction in ('t2v', 'v2t')}
        return {f'{direction}/gmean': math.prod(each)**(1 / len(each))
                for direction, each in recalls.items()}
