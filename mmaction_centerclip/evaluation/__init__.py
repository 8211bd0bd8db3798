from .evaluate import evaluate_features, evaluation_rows, format_rows
from .feature_file import (
    RetrievalFeatures,
    check_new_file,
    first_captions,
    load_features,
    save_features,
)
from .functional import (
    caption_group_similarity,
    expected_ranks,
    metrics_of_ranks,
    rank_counts,
    retrieval_metrics,
)
from .protocols import PROTOCOLS, describe_protocol, protocol_of
from .relevance import expected_ap_and_ndcg, relevance_metrics, summary_metrics
from .reranking import dual_softmax, qb_norm
from .retrieval_metric import VideoTextRetrievalMetric
from .scoring import product_scores, score_matrix, score_ranks

__all__ = [
    'PROTOCOLS', 'RetrievalFeatures', 'VideoTextRetrievalMetric',
    'caption_group_similarity', 'check_new_file', 'describe_protocol',
    'dual_softmax', 'evaluate_features', 'evaluation_rows',
    'expected_ap_and_ndcg', 'expected_ranks', 'first_captions',
    'format_rows', 'load_features', 'metrics_of_ranks',
    'product_scores', 'protocol_of', 'qb_norm', 'rank_counts',
    'relevance_metrics', 'retrieval_metrics', 'save_features',
    'score_matrix', 'score_ranks', 'summary_metrics'
]
