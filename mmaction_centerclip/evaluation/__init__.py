from . import metrics, rerankings
from .evaluate import RetrievalEvaluation, evaluate_features
from .feature_file import (
    RetrievalFeatures,
    check_new_file,
    first_captions,
    load_features,
    save_features,
)
from .functional import rank_counts, retrieval_metrics
from .protocols import PROTOCOLS, describe_protocol, protocol_of
from .registry import (
    RERANKINGS,
    RETRIEVAL_METRICS,
    Rankings,
    Reranking,
    RetrievalMetric,
)
from .relevance import expected_ap_and_ndcg, relevance_metrics
from .rerankings.dual_softmax import dual_softmax
from .rerankings.qb_norm import qb_norm
from .retrieval_metric import VideoTextRetrievalMetric
from .scorer import (
    Scorer,
    choose_scorer,
    product_scores,
    rank_counts_in_chunks,
    score_matrix,
)

__all__ = ['PROTOCOLS', 'RERANKINGS', 'RETRIEVAL_METRICS', 'Rankings', 'Reranking',
           'RetrievalEvaluation', 'RetrievalFeatures', 'RetrievalMetric', 'Scorer',
           'VideoTextRetrievalMetric', 'check_new_file', 'choose_scorer',
           'describe_protocol', 'dual_softmax', 'evaluate_features',
           'expected_ap_and_ndcg', 'first_captions', 'load_features', 'metrics',
           'product_scores', 'protocol_of', 'qb_norm', 'rank_counts',
           'rank_counts_in_chunks', 'relevance_metrics', 'rerankings',
           'retrieval_metrics', 'save_features', 'score_matrix']
