"""Recalls and other figures: protocols, re-rankings, files of features."""
from . import metrics, rerankings
from .evaluate import (
    PROTOCOLS,
    RetrievalEvaluation,
    describe_protocol,
    evaluate_features,
    protocol_of,
)
from .feature_file import (
    RetrievalFeatures,
    check_new_file,
    first_captions,
    load_features,
    save_features,
)
from .functional import (
    chance_of_finding,
    expected_ap_and_ndcg,
    relevance_metrics,
    retrieval_metrics,
)
from .metrics import RETRIEVAL_METRICS, RetrievalMetric
from .rerankings import RERANKINGS, Reranking, dual_softmax, qb_norm
from .retrieval_metric import VideoTextRetrievalMetric
from .scores import Scorer, Scores, choose_scorer, product_scores, score_matrix

__all__ = ['PROTOCOLS', 'RERANKINGS', 'RETRIEVAL_METRICS', 'Reranking',
           'RetrievalEvaluation', 'RetrievalFeatures', 'RetrievalMetric', 'Scorer',
           'Scores', 'VideoTextRetrievalMetric', 'chance_of_finding', 'check_new_file',
           'choose_scorer', 'describe_protocol', 'dual_softmax', 'evaluate_features',
           'expected_ap_and_ndcg', 'first_captions', 'load_features', 'metrics',
           'product_scores', 'protocol_of', 'qb_norm', 'relevance_metrics',
           'rerankings', 'retrieval_metrics', 'save_features', 'score_matrix']
