"""Hash a model: its weights, settings and pipeline."""
import hashlib

from torch import nn

from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.utils.weights import hash_weights

from .video_pipeline import VideoPipeline


def model_hash(model: nn.Module | OnnxRetriever, pipeline: VideoPipeline) -> str:
    """Return a hash of a model's weights, settings and test pipeline.

    That of an exported model in float32 is its own.
    """
    if isinstance(model, OnnxRetriever):
        return model.fingerprint
    settings = {name: value for name, value in model.cfg.model.to_dict().items()
                if name not in model.training_options}
    if settings['type'] == 'DistilledRetriever':
        settings['type'] = 'VideoTextRetriever'
    digest = hashlib.sha256(f'{settings!r}{pipeline.describe()}'.encode())
    hash_weights(digest, model)
    return digest.hexdigest()[:16]
