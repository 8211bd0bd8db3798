from .clip_arch import clip_config
from .clip_text import CLIPTextTower, TextFeatures
from .clip_vision import CLIPVisionTower
from .timm_vision import TimmVisionTower
from .video_tower import VideoTower
from .videomae_vision import VideoMAETower

__all__ = ['CLIPTextTower', 'CLIPVisionTower', 'TextFeatures', 'TimmVisionTower',
           'VideoMAETower', 'VideoTower', 'clip_config']
