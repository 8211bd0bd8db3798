"""Towers: hosts of reducers, and the text tower."""
from mmaction_centerclip.clip.arch import clip_config

from .attention_hooks import AttentionHooks
from .clip_text import CLIPTextTower, TextFeatures
from .clip_timm_vision import CLIPTimmVisionTower
from .clip_vision import CLIPVisionTower
from .hosts import advise, check_host, open_clip_vision_tower
from .mmpretrain_vision import MMPretrainVisionTower
from .timesformer_vision import TimeSformerTower
from .timm_vision import TimmVisionTower
from .tower_steps import BlockStep, NeckStep
from .uniformerv2_vision import UniFormerV2Tower
from .video_tower import EncodedSegments, VideoTower
from .videomae_vision import VideoMAETower

__all__ = ['AttentionHooks', 'BlockStep', 'CLIPTextTower', 'CLIPTimmVisionTower',
           'CLIPVisionTower', 'EncodedSegments', 'MMPretrainVisionTower', 'NeckStep',
           'TextFeatures', 'TimeSformerTower', 'TimmVisionTower', 'UniFormerV2Tower',
           'VideoMAETower', 'VideoTower', 'advise', 'check_host', 'clip_config',
           'open_clip_vision_tower']
