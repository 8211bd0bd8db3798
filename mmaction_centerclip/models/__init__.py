from .backbones import CLIPTextTower, CLIPVisionTower, TextFeatures, clip_config
from .data_preprocessors import VideoTextDataPreprocessor
from .heads import MeanPoolingHead
from .losses import SymmetricInfoNCELoss
from .necks import *  # noqa: F403
from .necks import __all__ as _necks
from .retrievers import VideoTextRetriever
from .video_tokens import VideoTokens

__all__ = [
    'CLIPTextTower', 'CLIPVisionTower', 'MeanPoolingHead',
    'SymmetricInfoNCELoss', 'TextFeatures', 'VideoTextDataPreprocessor',
    'VideoTextRetriever', 'VideoTokens', 'clip_config', *_necks
]
