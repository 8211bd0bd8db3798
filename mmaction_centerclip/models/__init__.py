"""Retrievers, and their parts: towers, reducers, heads, losses."""
from .backbones import *  # noqa: F403
from .backbones import __all__ as _backbones
from .data_preprocessor import VideoTextDataPreprocessor
from .distilled_retriever import DistilledRetriever
from .heads import *  # noqa: F403
from .heads import __all__ as _heads
from .losses import DualSoftmaxLoss, SigmoidLoss, SymmetricInfoNCELoss
from .necks import *  # noqa: F403
from .necks import __all__ as _necks
from .video_text_retriever import VideoTextRetriever
from .video_tokens import VideoTokens
from .video_tower_backbone import VideoTowerBackbone

__all__ = ['DistilledRetriever', 'DualSoftmaxLoss', 'SigmoidLoss',
           'SymmetricInfoNCELoss', 'VideoTextDataPreprocessor', 'VideoTextRetriever',
           'VideoTokens', 'VideoTowerBackbone', *_backbones, *_heads, *_necks]
