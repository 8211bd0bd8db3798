from .clip_arch import clip_config
from .clip_text import CLIPTextTower, TextFeatures
from .clip_timm_vision import CLIPTimmVisionTower
from .clip_vision import CLIPVisionTower
from .open_clip_vision import open_clip_vision_tower
from .timm_vision import TimmVisionTower
from .video_tower import VideoTower
from .videomae_vision import VideoMAETower

__all__ = ['CLIPTextTower', 'CLIPTimmVisionTower', 'CLIPVisionTower', 'TextFeatures',
           'TimmVisionTower', 'VideoMAETower', 'VideoTower', 'clip_config',
           'open_clip_vision_tower']
