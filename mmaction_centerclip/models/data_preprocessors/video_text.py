"""Stack videos and captions of a batch on the model's device."""
import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS

__all__ = ['VideoTextDataPreprocessor']


@MODELS.register_module()
class VideoTextDataPreprocessor(ActionDataPreprocessor):
    """Normalise frames and stack them with their captions.

    A sample of the dataset has ``imgs`` (T, 3, H, W) uint8, ``text`` (C, L)
    int64 of its C captions, and may have ``frame_mask`` (T, ) bool. Samples
    whose video could not be read (``missing`` in their data sample) have no
    tensors; they are left out of the stacks.

    Args:
        **kwargs: As for ``ActionDataPreprocessor``: ``mean``, ``std``, ...
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Stack a batch.

        Returns:
            dict: ``inputs`` with ``imgs`` float32 (B, T, 3, H, W) and
            ``text`` int64 (sum of C, L), both None if no video could be
            read; and ``data_samples``, all of them.
        """
        data = self.cast_data(data)
        inputs, samples = data['inputs'], data['data_samples']
        read = [
            i for i, sample in enumerate(samples)
            if not sample.get('missing', False)
        ]
        batch = {
            name: [values[i] for i in read] if read else None
            for name, values in inputs.items()
        }
        if read:
            batch['imgs'], _ = self.preprocess(batch['imgs'], samples,
                                               training)
            batch['text'] = torch.cat(batch['text'])
            if 'frame_mask' in batch:
                batch['frame_mask'] = torch.stack(batch['frame_mask'])
        return dict(data, inputs=batch, data_samples=samples)
