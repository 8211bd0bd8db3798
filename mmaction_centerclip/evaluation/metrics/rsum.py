"""Sum of the recalls."""
from ..registry import RETRIEVAL_METRICS, Rankings, RetrievalMetric


@RETRIEVAL_METRICS.register_module(name='Rsum')
class RecallSum(RetrievalMetric):
    """Sum of R@1, R@5 and R@10 over both directions."""
    needs_recalls = (1, 5, 10)

    def __call__(self, rankings: Rankings) -> dict[str, float]:
        """Return ``Rsum``."""
        return dict(Rsum=sum(
            rankings.figures[f'{direction}/R{k}']
            for direction in ('t2v', 'v2t') for k in self.needs_recalls))
