"""Export both towers of a retriever, for programs without this package."""
import json
import os

import torch
from torch import Tensor, nn

from mmaction_centerclip.clip.feature_settings import SETTINGS, describe_settings
from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.utils.files import atomic_write, check_absent
from mmaction_centerclip.utils.option_types import check_types


class _Videos(nn.Module):
    """Normalised frames (B, T, 3, H, W) to features of videos (B, E)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, imgs: Tensor) -> Tensor:
        return self.model.video_features(dict(imgs=imgs))['video']


class _Texts(_Videos):
    """Token ids (B, L) to features of captions (B, E)."""

    def forward(self, text: Tensor) -> Tensor:
        head = self.model.head
        return head.text_features(self.model.text_backbone(text))['text']


@check_types
def export_towers(model: nn.Module, folder: str | os.PathLike, num_frames: int,
                  image_size: int | tuple[int, int], batch_size: int = 1) -> None:
    """Write ``videos.pt2`` and ``texts.pt2`` by ``torch.export`` to a folder.

    Videos come in the batches and sizes (height and width) given here, normalised as by
    the data preprocessor, without padding. Programs of clustered towers need
    this package for its operators. The retriever is in evaluation mode, on the CPU, and
    has a separable head: the product of what both programs give is the similarity.
    """
    if not model.head.separable:
        raise InputError(f'{type(model.head).__name__} compares pairs, so that a video '
                         'is no vector')
    height, width = (image_size, ) * 2 if isinstance(image_size, int) else image_size
    imgs = torch.zeros(check_positive_int('batch_size', batch_size),
                       check_positive_int('num_frames', num_frames), 3, height, width)
    length = model.text_backbone.positional_embedding.shape[0]
    text = torch.zeros(batch_size, length, dtype=torch.int64)
    for name, encoder, example in (('videos.pt2', _Videos(model), imgs),
                                   ('texts.pt2', _Texts(model), text)):
        path = os.path.join(folder, name)
        check_absent(path)
        with torch.no_grad(), atomic_write(path) as partial:
            program = torch.export.export(encoder.eval(), (example, ), strict=False)
            with open(partial, 'wb') as file:
                torch.export.save(program, file, extra_files={
                    f'{SETTINGS}.json': json.dumps(describe_settings(model))})
