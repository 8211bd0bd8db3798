"""Make a sample: run its transforms, seed what they draw, and join a batch."""
import contextlib
import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmaction.datasets import transforms as zoo
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from mmaction_centerclip.errors import InputError

from .video.decoding_errors import run_transform
from .video.shown_frames import narrow_to_clip

OPENERS = zoo.DecordInit, zoo.OpenCVInit, zoo.PIMSInit, zoo.PyAVInit


class SamplePipeline(Compose):
    """Transforms of which one narrows a video to the ``clip`` of its sample.

    It stands behind what opens videos, by default the first, so that whatever
    is put in the place of this object finds it among ``transforms``.
    """

    def __init__(self, transforms: Sequence[Callable]) -> None:
        super().__init__(transforms)
        opener = max((i for i, transform in enumerate(self.transforms)
                      if isinstance(transform, OPENERS)), default=0)
        self.transforms.insert(opener + 1, _narrow)

    def __call__(self, data: dict) -> dict:
        """Run them all; raise a :class:`DecodingError` for the video."""
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
        narrow_to_clip(results, *clip)
    return results


@contextlib.contextmanager
def sample_rng(*key: int):
    """Seed Python's, numpy's and torch's generators for one sample.

    What a pipeline draws then depends on ``key`` only: not on the worker, the number of
    processes, or a resumption. The generators continue afterwards where they were.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed also notes the seed, with a stack trace, for a CUDA that
    # a worker never starts: slower than all else here, and kept for ever.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@FUNCTIONS.register_module()
def stack_in_worker(samples: Sequence[dict]) -> dict:
    """Collate as ``pseudo_collate`` does, in a worker with stacked inputs.

    A tensor that leaves a worker is copied to shared memory, and its file descriptor
    sent by a connection of its own. So inputs of one shape are stacked there at once,
    to a tensor (B, ...). Where a video could not be read, None stands for its tensors.
    """
    batch = pseudo_collate(samples)
    if get_worker_info() is not None:
        batch['inputs'] = {name: _stack(values) if _are_alike(values) else values
                           for name, values in batch['inputs'].items()}
    return batch


def _are_alike(values: Sequence) -> bool:
    return all(isinstance(x, Tensor) for x in values) and len(
        {(x.shape, x.dtype) for x in values}) == 1


def _stack(values: Sequence[Tensor]) -> Tensor:
    """Stack tensors in shared memory, in the order in which theirs have pixels."""
    order = sorted(range(values[0].ndim), key=lambda dim: -values[0].stride(dim))
    values = [x.permute(order) for x in values]
    stacked = default_collate(values)
    back = sorted(range(len(order)), key=order.__getitem__)
    return stacked.permute(0, *(dim + 1 for dim in back))
