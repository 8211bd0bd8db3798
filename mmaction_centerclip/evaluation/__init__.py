from .functional import caption_group_similarity, expected_ranks, retrieval_metrics
from .retrieval_metric import VideoTextRetrievalMetric

__all__ = [
    'VideoTextRetrievalMetric', 'caption_group_similarity', 'expected_ranks',
    'retrieval_metrics'
]
