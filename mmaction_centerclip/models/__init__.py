from .backbones import *  # noqa: F403
from .backbones import __all__ as _backbones
from .data_preprocessor import VideoTextDataPreprocessor
from .heads import *  # noqa: F403
from .heads import __all__ as _heads
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .necks import *  # noqa: F403
from .necks import __all__ as _necks
from .retrievers import VideoTextRetriever
from .video_tokens import VideoTokens
from .video_tower_backbone import VideoTowerBackbone

__all__ = ['VideoTextDataPreprocessor', 'VideoTextRetriever', 'VideoTokens',
           'VideoTowerBackbone', *_backbones, *_heads, *_losses, *_necks]
