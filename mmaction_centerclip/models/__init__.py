from .backbones import CLIPTextTower, CLIPVisionTower, TextFeatures, clip_config
from .data_preprocessors import VideoTextDataPreprocessor
from .heads import *  # noqa: F403
from .heads import __all__ as _heads
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .necks import *  # noqa: F403
from .necks import __all__ as _necks
from .retrievers import VideoTextRetriever
from .video_tokens import VideoTokens

__all__ = [
    'CLIPTextTower', 'CLIPVisionTower', 'TextFeatures',
    'VideoTextDataPreprocessor', 'VideoTextRetriever', 'VideoTokens',
    'clip_config', *_heads, *_losses, *_necks
]
