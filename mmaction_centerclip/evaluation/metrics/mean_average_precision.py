"""Mean average precision."""
from ..registry import RETRIEVAL_METRICS, Rankings, RetrievalMetric
from ..relevance import SEVERAL_CAPTIONS


@RETRIEVAL_METRICS.register_module(name='mAP')
class MeanAveragePrecision(RetrievalMetric):
    """Mean average precision, see :func:`relevance_metrics`."""
    needs_matrix = True
    several_captions = SEVERAL_CAPTIONS

    def __call__(self, rankings: Rankings) -> dict[str, float]:
        """Return ``t2v/mAP`` and ``v2t/mAP``."""
        return {name: value for name, value in rankings.relevance.items()
                if name.endswith('/mAP')}
