"""Run the transforms of a data set on a video, or on a clip of one."""
from collections.abc import Callable, Sequence

from mmaction.datasets import transforms as zoo
from mmengine.dataset import Compose

from mmaction_centerclip.errors import InputError

from .clip_times import narrow_to_clip
from .video.decoding_errors import decoding_errors, run_transform

__all__ = ['SamplePipeline']

OPENERS = zoo.DecordInit, zoo.OpenCVInit, zoo.PIMSInit, zoo.PyAVInit


class SamplePipeline(Compose):
    """Transforms of which one narrows a video to the ``clip`` of its sample.

    It stands behind what opens videos, by default the first, so that whatever
    is put in the place of this object finds it among ``transforms``.

    Args:
        transforms (Sequence[Callable]): As they were built.
    """

    def __init__(self, transforms: Sequence[Callable]) -> None:
        super().__init__(transforms)
        opener = max((i for i, transform in enumerate(self.transforms)
                      if isinstance(transform, OPENERS)), default=0)
        self.transforms.insert(opener + 1, _narrow)

    def __call__(self, data: dict) -> dict:
        """Run them all.

        Raises:
            DecodingError: If the video cannot be read.
        """
        filename = data['filename']
        for transform in self.transforms:
            data = run_transform(transform, data, filename)
        return data


def _narrow(results: dict) -> dict:
    clip = results.pop('clip', None)
    if clip and 'total_frames' not in results:
        raise InputError('no step of the pipeline says the total_frames of a video, of '
                         f'which {results["filename"]} is to give a clip; expected '
                         'VideoInit as the first')
    if clip:
        with decoding_errors(results['filename']):
            narrow_to_clip(results, *clip)
    return results
