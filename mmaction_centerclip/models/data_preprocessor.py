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

    A sample of the dataset has ``imgs`` (T, 3, H, W) uint8, ``text`` (C, L) int64 of
    its C captions, and may have ``frame_mask`` (T, ) bool. Samples whose video could
    not be read (``missing``) have None instead; they are left out here, so that a model
    never meets them. Videos to encode without captions have no ``text``. Inputs may
    also be stacked already, (B, ...). Features of the towers in place of frames and
    text are stacked.
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
        """Stack a batch.

        Returns:
            dict: ``inputs`` with ``imgs`` float32 (B, T, 3, H, W), ``text`` int64 (sum
            of C, L) and maybe ``frame_mask`` bool (B, T), of the videos that could be
            read, empty if none could; and ``data_samples``, first of those B videos,
            then of the others.
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
