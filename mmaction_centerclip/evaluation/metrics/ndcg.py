"""Normalized discounted cumulative gain."""
from ..registry import RETRIEVAL_METRICS, Rankings, RetrievalMetric
from ..relevance import SEVERAL_CAPTIONS


@RETRIEVAL_METRICS.register_module(name='NDCG')
class NDCG(RetrievalMetric):
    """Normalized discounted cumulative gain, see :func:`relevance_metrics`."""
    needs_matrix = True
    several_captions = SEVERAL_CAPTIONS

    def __call__(self, rankings: Rankings) -> dict[str, float]:
        """Return ``t2v/NDCG`` and ``v2t/NDCG``."""
        return {name: value for name, value in rankings.relevance.items()
                if name.endswith('/NDCG')}
