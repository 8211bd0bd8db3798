from .mean_pooling import MeanPoolingHead

__all__ = ['MeanPoolingHead']
