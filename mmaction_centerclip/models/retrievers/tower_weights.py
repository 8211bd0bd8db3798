"""Weights of a video tower that is no CLIP's, from a file of its own."""
from mmengine.logging import print_log
from torch import nn

from mmaction_centerclip.files import read_checkpoint
from mmaction_centerclip.models.feature_settings import (
    check_settings,
    describe_settings,
)

__all__ = ['load_tower_weights']


def load_tower_weights(tower: nn.Module, path: str) -> None:
    """Load a video tower's weights, in place.

    Args:
        tower (VideoTower): Its necks keep, or repeat, their initialisation.
        path (str): A local file, with the tower's own keys, or with those
            under ``backbone.`` as in a recogniser's checkpoint, of which the
            rest is left out.

    Raises:
        InputError: If the file cannot be read, or a key is missing, unknown or
            of another shape.
    """
    state, file, _ = read_checkpoint(path)
    settings = describe_settings(nn.ModuleDict(dict(backbone=tower)))
    check_settings(file, settings, f'video_pretrained={path!r}', starts=True)
    own = {key.removeprefix('backbone.'): value for key, value in state.items()
           if key.startswith('backbone.')} or state
    tower.load_pretrained(own, f'video_pretrained={path!r}')
    rest = sorted({key.split('.')[0] for key in state} - {'backbone'})
    left_out = f', without its {rest}' if len(own) < len(state) else ''
    print_log(f'Loaded the video tower, {type(tower).__name__}, from '
              f'{path}{left_out}.', 'current')
