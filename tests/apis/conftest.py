import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.config_completion import complete_config


@pytest.fixture(scope='session')
def tiny_checkpoint(tiny_config, tmp_path_factory):
    """Random weights of the tiny CenterCLIP, given as a checkpoint."""
    torch.manual_seed(0)
    cfg = Config.fromfile(tiny_config)
    complete_config(cfg)
    path = tmp_path_factory.mktemp('checkpoint') / 'tiny.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    return str(path)


@pytest.fixture(scope='session')
def inferencer(tiny_config, tiny_checkpoint):
    return VideoTextRetrievalInferencer(
        tiny_config, tiny_checkpoint, 'cpu', show_progress=False)
