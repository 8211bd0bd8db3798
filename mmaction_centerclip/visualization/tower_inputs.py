"""From a batch of a pipeline to what a tower takes, and its frames to draw on."""
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import VideoTower

__all__ = ['TowerInputs', 'tower_inputs', 'tower_of']


class TowerInputs(NamedTuple):
    """Videos as they were sampled, and as a tower takes them.

    Attributes:
        frames (ndarray): RGB, uint8 (B, T, H, W, 3).
        imgs (Tensor): Normalised, shape (B, T, 3, H, W).
        frame_mask (Tensor | None): Frames that are real, bool (B, T).
    """
    frames: np.ndarray
    imgs: Tensor
    frame_mask: Tensor | None


def tower_of(model: nn.Module) -> VideoTower:
    """Return the video tower of a retriever or a recogniser.
    """
    for module in model.modules():
        if isinstance(module, VideoTower):
            return module
    raise InputError(f'{type(model).__name__} has no video tower, whose tokens could '
                     'be seen')


def tower_inputs(model: nn.Module, batch: dict, count: int) -> TowerInputs:
    """Prepare the first videos of a batch that could be read.

    Args:
        model (BaseModel): A retriever, or a recogniser of clips, whose data
            preprocessor normalises.
        batch (dict): As a data loader of its config gives it. Of several clips
            or crops of a video the first is taken.
        count (int): Videos to take, at most.

    Returns:
        TowerInputs: None of them if no video could be read.
    """
    inputs, samples = batch['inputs'], batch['data_samples']
    if isinstance(inputs, dict):
        readable = [i for i, x in enumerate(inputs['imgs']) if x is not None][:count]
        inputs = {k: [x[i] for i in readable] for k, x in inputs.items()}
        clips = inputs['imgs']
    else:
        readable = list(range(len(inputs)))[:count]
        inputs = [inputs[i] for i in readable]
        clips = [clip[0].transpose(0, 1) for clip in inputs]
    if not clips:
        return TowerInputs(np.empty((0, 0, 0, 0, 3), np.uint8), torch.empty(0), None)
    if clips[0].dtype != torch.uint8:
        raise InputError('frames to draw on must be uint8, as the pipelines of this '
                         f'project pack them, got {clips[0].dtype}')
    frames = torch.stack(clips).permute(0, 1, 3, 4, 2).cpu().numpy()
    batch = dict(inputs=inputs, data_samples=[samples[i] for i in readable])
    ready = model.data_preprocessor(batch, False)['inputs']
    if isinstance(ready, dict):
        mask = ready.get('frame_mask')
        return TowerInputs(frames, ready['imgs'], None if mask is None else mask.bool())
    return TowerInputs(frames, ready[:, 0].transpose(1, 2), None)
