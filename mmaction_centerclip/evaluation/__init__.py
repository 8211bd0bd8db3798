from . import metrics, rerankings
from .evaluate import RetrievalEvaluation, evaluate_features
from .feature_file import (
    RetrievalFeatures,
    check_new_file,
    first_captions,
    load_features,
    save_features,
)
from .functional import expected_ap_and_ndcg, relevance_metrics, retrieval_metrics
from .protocols import PROTOCOLS, describe_protocol, protocol_of
from .registry import RERANKINGS, RETRIEVAL_METRICS, Reranking, RetrievalMetric
from .rerankings import dual_softmax, qb_norm
from .retrieval_metric import VideoTextRetrievalMetric
from .scores import Scorer, Scores, choose_scorer, product_scores, score_matrix

__all__ = ['PROTOCOLS', 'RERANKINGS', 'RETRIEVAL_METRICS', 'Reranking',
           'RetrievalEvaluation', 'RetrievalFeatures', 'RetrievalMetric', 'Scorer',
           'Scores', 'VideoTextRetrievalMetric', 'check_new_file', 'choose_scorer',
           'describe_protocol', 'dual_softmax', 'evaluate_features',
           'expected_ap_and_ndcg', 'first_captions', 'load_features', 'metrics',
           'product_scores', 'protocol_of', 'qb_norm', 'relevance_metrics',
           'rerankings', 'retrieval_metrics', 'save_features', 'score_matrix']
