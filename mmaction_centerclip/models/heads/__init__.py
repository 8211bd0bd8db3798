"""Similarities of captions and videos."""
from .base import SimilarityHead
from .clip4clip import (
    MeanPoolingHead,
    SequentialLSTMHead,
    SequentialTransformerHead,
    TightTransformerHead,
)
from .pairwise import (
    SimilarityAttentionHead,
    TextConditionedPoolingHead,
    WeightedTokenInteractionHead,
)
from .transformer import TextTransformerMixin

__all__ = ['MeanPoolingHead', 'SequentialLSTMHead', 'SequentialTransformerHead',
           'SimilarityAttentionHead', 'SimilarityHead', 'TextConditionedPoolingHead',
           'TextTransformerMixin', 'TightTransformerHead',
           'WeightedTokenInteractionHead']
