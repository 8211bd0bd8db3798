"""Stack videos and captions of a batch on the model's device."""
import math
from collections.abc import Sequence

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError, check_choice, check_number


@MODELS.register_module()
class VideoTextDataPreprocessor(ActionDataPreprocessor):
    """Normalise frames and stack them with their captions.

    A sample has ``imgs`` (T, 3, H, W) uint8, and may have ``frame_mask`` (T, ) bool and
    ``text`` (C, L) int64 of its C captions. Videos that could not be read (``missing``)
    are left out. Inputs may be stacked already, or features of the towers.
    """

    def __init__(self, mean: Sequence[float] | None = None,
                 std: Sequence[float] | None = None, **kwargs) -> None:
        for name, values, lowest in (('mean', mean, -math.inf), ('std', std, 0)):
            if values is not None and len(values) != 3:
                raise InputError(f'data_preprocessor: {name} must be a list of three '
                                 f'numbers, got {values!r}')
            for value in values or ():
                check_number(f'data_preprocessor: {name}', value,
                             lambda x, lowest=lowest: x > lowest, f'above {lowest}')
        check_choice('data_preprocessor: format_shape',
                     kwargs.get('format_shape', 'NCHW'), ('NCHW', ))
        super().__init__(mean=mean, std=std, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Stack a batch of the B videos that could be read, empty if none could.

        Captions follow each other, int64 (sum of C, L). The ``data_samples`` are first
        those of these videos, then the others.
        """
        data = self.cast_data(data)
        samples = sorted(data['data_samples'],
                         key=lambda sample: sample.get('missing', False))
        inputs = {name: [x for x in values if x is not None]
                  for name, values in data['inputs'].items()}
        if 'segments' in inputs:  # features of the towers, all of them
            return dict(data, data_samples=samples, inputs={
                name: torch.stack(values) for name, values in inputs.items()})
        if not inputs['imgs']:
            return dict(data, inputs={}, data_samples=samples)
        for imgs in inputs['imgs']:
            if imgs.ndim != 4 or imgs.shape[1] != 3:
                raise InputError(
                    'imgs of a sample must have the shape (T, 3, H, W), got '
                    f"{tuple(imgs.shape)}; use FormatShape with input_format='NCHW'")
        inputs['imgs'], _ = self.preprocess(inputs['imgs'], samples, training)
        if 'text' in inputs:
            inputs['text'] = torch.cat(inputs['text'])
        if 'frame_mask' in inputs:
            inputs['frame_mask'] = torch.stack(inputs['frame_mask'])
        return dict(data, inputs=inputs, data_samples=samples)
