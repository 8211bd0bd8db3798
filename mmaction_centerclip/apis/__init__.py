"""Retrievers for one's own videos and words."""
from mmaction_centerclip.utils.files import list_files

from .export import export_onnx, export_towers
from .inferencer import Encoded, VideoTextRetrievalInferencer
from .loading import init_retriever, load_pretrained
from .video_pipeline import VideoPipeline, model_hash

__all__ = ['Encoded', 'VideoPipeline', 'VideoTextRetrievalInferencer',
           'export_onnx', 'export_towers', 'init_retriever', 'list_files',
           'load_pretrained', 'model_hash']
