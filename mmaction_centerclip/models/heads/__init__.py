"""Similarities of captions and videos."""
from .base import SimilarityHead
from .clip4clip import (
    MeanPoolingHead,
    SequentialLSTMHead,
    SequentialTransformerHead,
    TightTransformerHead,
)
from .similarity_attention import SimilarityAttentionHead
from .text_conditioned_pooling import TextConditionedPoolingHead
from .token_interaction import WeightedTokenInteractionHead
from .transformer import TextTransformerMixin

__all__ = ['MeanPoolingHead', 'SequentialLSTMHead', 'SequentialTransformerHead',
           'SimilarityAttentionHead', 'SimilarityHead', 'TextConditionedPoolingHead',
           'TextTransformerMixin', 'TightTransformerHead',
           'WeightedTokenInteractionHead']
