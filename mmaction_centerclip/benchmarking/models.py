"""Build what is compared, and read the clips that it is fed."""
import copy
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torchvision.transforms.functional import resize

from mmaction_centerclip.datasets.video.decoding_errors import decoding_errors
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.models import VideoTower
from mmaction_centerclip.utils.files import VIDEO_SUFFIXES
from mmaction_centerclip.visualization import tower_of


def tower_config(cfg: Config) -> dict:
    """Return the video tower's part of a config: a backbone, its tower or ``model``."""
    if not isinstance(cfg.get('model'), dict):
        raise InputError(f'{cfg.filename}: the config has no model')
    backbone = cfg.model.get('backbone', cfg.model)
    return backbone.get('tower', backbone)


def build_model(cfg: Config) -> nn.Module:
    """Build a config's model with random weights, in evaluation mode."""
    tower_config(cfg)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    model = copy.deepcopy(cfg.model)
    if model.get('pretrained'):
        model.pretrained = None
    with config_errors('model'):
        return MODELS.build(model).eval()


def without_necks(cfg: Config) -> Config:
    """Return a copy of a config without its necks."""
    cfg = copy.deepcopy(cfg)
    tower_config(cfg).pop('necks', None)
    return cfg


def build_pair(cfg: Config, device: str = 'cpu') -> tuple[nn.Module, nn.Module]:
    """Build a config's model, and the same without its necks, of equal weights."""
    if not tower_config(cfg).get('necks'):
        raise InputError(f'{cfg.filename}: the model has no neck, so there is '
                         'nothing to compare; give a config that has one')
    model, twin = build_model(cfg), build_model(without_necks(cfg))
    twin.load_state_dict(model.state_dict(), strict=False)
    return model.to(device), twin.to(device)


def zoo_backbone(cfg: Config, twin: nn.Module) -> nn.Module | None:
    """Build the zoo's own backbone with a recogniser's weights; None if it has none."""
    tower, bases = getattr(twin, 'backbone', None), ()
    if isinstance(tower, VideoTower) and not hasattr(twin, 'encode_video'):
        bases = type(tower).__mro__
        bases = bases[bases.index(VideoTower) + 1:]
    if not bases or not bases[0].__module__.startswith('mmaction.'):
        return None
    options = dict(copy.deepcopy(tower_config(without_necks(cfg))), type=bases[0])
    zoo = MODELS.build(options).eval()
    zoo.load_state_dict(tower.state_dict())
    return zoo.to(next(tower.parameters()).device)


def clip_frames(cfg: Config) -> int:
    """Return how many frames of a video the model sees at once in a test.

    Of a recogniser those of one clip; of a config without data ``num_frames``, or 1.
    """
    loader = cfg.get('test_dataloader')
    if not loader:
        return cfg.get('num_frames', 1)
    for transform in loader.dataset.pipeline:
        if 'clip_len' in transform:
            clips = transform.get('num_clips', 1) if 'text_backbone' in cfg.model else 1
            return transform['clip_len'] * clips
    raise InputError(f'{cfg.filename}: no transform of the test pipeline has a '
                     'clip_len')


def frame_size(cfg: Config, model: nn.Module) -> tuple[int, int]:
    """Return height and width of the frames that a model takes, or was built for."""
    size = tower_of(model).image_size or tower_config(cfg).get(
        'img_size', 224 if 'cls_head' in cfg.model else None)
    if size is None:
        raise InputError(f'{cfg.filename}: the tower takes frames of any size; '
                         'img_size of its backbone must say of which it is measured')
    return (size, size) if isinstance(size, int) else tuple(size)


def video_files(folder: str | Path) -> list[Path]:
    """List the video files in a folder, by name; at least one."""
    paths = sorted(path for path in Path(folder).glob('*')
                   if path.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise InputError(f'{folder}: no video file ({", ".join(VIDEO_SUFFIXES)})')
    return paths


def read_clips(folder: str | Path, clips: int, frames: int, size: int,
               length: int = 32) -> Tensor:
    """Cut clips, uint8 (B, T, 3, H, W), from a few videos, at equal steps through all.

    A clip is ``frames`` T at equal steps out of ``length`` of a video. Clips overlap
    where more are asked for than fit side by side; videos shorter than a clip are left
    out.
    """
    span = torch.linspace(0, length - 1, frames).long()
    starts, readers = [], []
    for path in video_files(folder):
        with decoding_errors(str(path), everything=True):
            readers.append(VideoReader(str(path)))
            starts += [(readers[-1], path, start)
                       for start in range(len(readers[-1]) - length + 1)]
    if len(starts) < clips:
        raise InputError(f'{folder}: there are {len(starts)} clips of {length} frames, '
                         f'expected at least {clips}')
    found = []
    for index in torch.linspace(0, len(starts) - 1, clips).long().tolist():
        reader, path, start = starts[index]
        with decoding_errors(str(path), everything=True):
            clip = torch.from_numpy(reader.get_batch((start + span).tolist()).asnumpy())
        found.append(resize(clip.permute(0, 3, 1, 2), [size, size]))
    return torch.stack(found)


def normalized(clips: Tensor) -> Tensor:
    """Normalise uint8 clips about as CLIP's and ImageNet's models are."""
    return (clips.float() - 115) / 68
