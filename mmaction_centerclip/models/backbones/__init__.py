from .clip_arch import clip_config
from .clip_text import CLIPTextTower, TextFeatures
from .clip_vision import CLIPVisionTower

__all__ = ['CLIPTextTower', 'CLIPVisionTower', 'TextFeatures', 'clip_config']
