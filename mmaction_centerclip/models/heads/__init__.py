from .base import SimilarityHead
from .mean_pooling import MeanPoolingHead
from .sequential_lstm import SequentialLSTMHead
from .sequential_transformer import SequentialTransformerHead
from .text_conditioned_pooling import TextConditionedPoolingHead
from .tight_transformer import TightTransformerHead
from .token_interaction import WeightedTokenInteractionHead
from .transformer import TextTransformerMixin

__all__ = ['MeanPoolingHead', 'SequentialLSTMHead', 'SequentialTransformerHead',
           'SimilarityHead', 'TextConditionedPoolingHead', 'TextTransformerMixin',
           'TightTransformerHead', 'WeightedTokenInteractionHead']
