from .video_tower_backbone import VideoTowerBackbone

__all__ = ['VideoTowerBackbone']
