from .backbones import CLIPTextTower, CLIPVisionTower, TextFeatures, clip_config
from .data_preprocessors import VideoTextDataPreprocessor
from .heads import MeanPoolingHead
from .losses import SymmetricInfoNCELoss
from .necks import TokenClustering, TokenReducer
from .retrievers import VideoTextRetriever
from .video_tokens import VideoTokens

__all__ = [
    'CLIPTextTower', 'CLIPVisionTower', 'MeanPoolingHead',
    'SymmetricInfoNCELoss', 'TextFeatures', 'TokenClustering', 'TokenReducer',
    'VideoTextDataPreprocessor', 'VideoTextRetriever', 'VideoTokens',
    'clip_config'
]
