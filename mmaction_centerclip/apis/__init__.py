"""Retrievers for one's own videos and words."""
from .inferencer import Encoded, VideoTextRetrievalInferencer
from .loading import init_retriever, load_pretrained
from .video_pipeline import OpenVideo, VideoPipeline, list_files

__all__ = ['Encoded', 'OpenVideo', 'VideoPipeline', 'VideoTextRetrievalInferencer',
           'init_retriever', 'list_files', 'load_pretrained']
