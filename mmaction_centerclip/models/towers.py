"""A retriever's towers: build, load, freeze them, and read their features."""
import hashlib
import inspect
import json

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from mmaction_centerclip.clip.feature_settings import check_settings, describe_settings
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import (
    EncodedSegments,
    TextFeatures,
    VideoTower,
    advise,
)
from mmaction_centerclip.utils.tensor_files import read_checkpoint
from mmaction_centerclip.utils.weights import hash_weights


def build_tower(option: str, config: dict, kind: type, arch: str | dict) -> nn.Module:
    """Build a tower by its class, or by a function that picks the class."""
    name = config.get('type')
    build = MODELS.get(name) if isinstance(name, str) else name
    if inspect.isfunction(build) or inspect.isclass(build) and issubclass(build, kind):
        tower = MODELS.build({'arch': arch, **config})
        if isinstance(tower, kind):
            return tower
    is_known = build is not None or str(name).startswith('timm.')
    reason = f'; {advise(name)}' if kind is VideoTower and is_known else ''
    raise InputError(f'{option}: type must be a {kind.__name__}, got {name!r}{reason}')


def load_tower_weights(tower: nn.Module, path: str) -> None:
    """Load a video tower's weights, in place; necks keep their initialisation.

    From a local file, with the tower's own keys, or with those under ``backbone.``.
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


class FrozenTowers(nn.Module):
    """Mixin in front of a retriever's base class, that may freeze its towers."""
    towers_frozen = False
    _digest: str | None = None
    tower_options: tuple = ()
    """By which the features of the towers differ."""

    def freeze_towers(self) -> None:
        """Freeze the towers and disable their dropout."""
        self.towers_frozen = True
        for tower in (self.backbone, self.text_backbone):
            tower.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> nn.Module:
        """Switch to training, but for towers that are frozen."""
        super().train(mode)
        if self.towers_frozen:
            self.backbone.eval()
            self.text_backbone.eval()
        return self

    def towers_digest(self) -> str:
        """Return a hash of the towers' weights and options, computed once."""
        trained = [name for name, parameter in self.named_parameters()
                   if parameter.requires_grad
                   and name.startswith(('backbone.', 'text_backbone.'))]
        if trained or not self.towers_frozen:
            raise InputError(
                'features of the towers change while they train, so none are read from '
                'or written to a file; write model.frozen_towers=True' + (
                    f' ({len(trained)} parameters train, the first being {trained[0]})'
                    if trained else ''))
        if self._digest is None:
            normalization = [
                getattr(self.data_preprocessor, name, torch.empty(0)).tolist()
                for name in ('mean', 'std')]
            options = json.dumps(self.tower_options, sort_keys=True, default=str)
            digest = hashlib.blake2b(
                f'{options} {normalization}'.encode(), digest_size=20)
            for tower in (self.backbone, self.text_backbone):
                hash_weights(digest, tower)
            self._digest = digest.hexdigest()
        return self._digest

    def encode_segments(self, inputs: dict[str, Tensor]) -> EncodedSegments:
        """Return what the video tower makes of frames, always with a mask."""
        mask = inputs.get('frame_mask')
        segments = self.backbone.encode_segments(
            inputs['imgs'], None if mask is None else mask.bool())
        if segments.mask is None:
            features = segments.features
            segments = segments._replace(mask=torch.ones(
                features.shape[:2], dtype=torch.bool, device=features.device))
        return segments

    def read_features(self, inputs: dict[str, Tensor],
                      data_samples: list | None) -> tuple[Tensor, Tensor, TextFeatures]:
        """Take features of the towers from a batch that has them."""
        found = {sample.get('towers') for sample in data_samples or ()}
        if found != {self.towers_digest()}:
            raise InputError('the features in the file are of other weights, or of '
                             'towers with other options, than the model has; make '
                             'them anew by tools/data/cache_features.py')
        return inputs['segments'], inputs['segment_mask'], TextFeatures(
            inputs['sentence'], inputs['words'], inputs['word_mask'])
