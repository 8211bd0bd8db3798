"""Towers of which nothing trains, and whose features may be read from a file."""
import hashlib
import json

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import EncodedSegments, TextFeatures
from mmaction_centerclip.utils.weights import hash_weights

__all__ = ['FrozenTowers']


class FrozenTowers(nn.Module):
    """Add frozen towers to a retriever, which it has as attributes.

    Stands in front of the retriever's own base class.
    """
    towers_frozen = False
    _digest: str | None = None
    _options: str = ''

    def freeze_towers(self) -> None:
        """Freeze the towers and disable their dropout."""
        self.towers_frozen = True
        for tower in (self.backbone, self.text_backbone):
            tower.requires_grad_(False)
        self.train(self.training)

    def note_options(self, *options: object) -> None:
        """Remember by which options the features of the towers differ."""
        self._options = json.dumps(options, sort_keys=True, default=str)

    def train(self, mode: bool = True) -> nn.Module:
        """Switch to training, but for towers that are frozen."""
        super().train(mode)
        if self.towers_frozen:
            self.backbone.eval()
            self.text_backbone.eval()
        return self

    def towers_digest(self) -> str:
        """Return a hash of the towers' weights and options.

        Computed once, from the weights that they have then.
        """
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
            digest = hashlib.blake2b(
                f'{self._options} {normalization}'.encode(), digest_size=20)
            for tower in (self.backbone, self.text_backbone):
                hash_weights(digest, tower)
            self._digest = digest.hexdigest()
        return self._digest

    def encode_frames(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what the video tower alone makes of frames, and what is padding."""
        return tuple(self.encode_segments(inputs)[:2])

    def encode_segments(self, inputs: dict[str, Tensor]) -> EncodedSegments:
        """Return the same, always with a mask, and what each segment is of."""
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
