"""Join samples to a batch that a worker can hand over without a copy."""
from collections.abc import Sequence

import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import get_worker_info

__all__ = ['stack_in_worker']


@FUNCTIONS.register_module()
def stack_in_worker(samples: Sequence[dict]) -> dict:
    """Collate as ``pseudo_collate`` does, in a worker with stacked inputs.

    A tensor that leaves a worker is copied to shared memory, and its file
    descriptor sent by a connection of its own. So each input of a batch is
    stacked there at once, and is one tensor rather than one a sample.

    Args:
        samples (Sequence[dict]): Of the data set: ``inputs``, a dict of tensors,
            or of None where a video could not be read, and ``data_samples``.

    Returns:
        dict: ``inputs`` and ``data_samples`` as lists; or, in a worker, inputs
        whose tensors are all of one shape as a tensor (B, ...).
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
    shape = len(values), *values[0].shape
    # As torch's own default_collate does it.
    storage = values[0]._typed_storage()._new_shared(
        sum(x.numel() for x in values), device=values[0].device)
    stacked = torch.stack(values, out=values[0].new(storage).resize_(shape))
    back = sorted(range(len(order)), key=order.__getitem__)
    return stacked.permute(0, *(dim + 1 for dim in back))
