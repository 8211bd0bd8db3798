"""Draws of a training that can be repeated, and a report of its data."""
import os.path as osp
from collections.abc import Iterator

import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from mmaction_centerclip.engine.runner import is_last_of_its_kind
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import NotNegativeInt


@HOOKS.register_module()
class SampleSeedHook(Hook):
    """Make the draws of a sample depend on seed, epoch and index only.

    Frames and captions drawn in training are then the same whatever the number of
    workers and processes, and in a resumed run. Calls ``set_epoch(seed, epoch)`` of
    every dataset that has it, inside wrappers too; the repeats of a ``RepeatDataset``
    draw the same within an epoch. Does nothing in an iteration-based loop.
    """

    def before_train_epoch(self, runner) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            for each in _with_inner(runner.train_dataloader.dataset):
                if hasattr(each, 'set_epoch'):
                    each.set_epoch(runner.seed, runner.epoch)


def _with_inner(dataset) -> Iterator:
    """Yield a dataset and those that it wraps or joins."""
    yield dataset
    for inner in (getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())):
        if inner is not None:
            yield from _with_inner(inner)


@HOOKS.register_module()
class DataReportHook(Hook):
    """Log what a training is of; count the videos it skipped and captions it cut.

    The first are what figures of other trainings often differ in: which list of how
    many videos, pairs a step, which of them are negatives, and the precision.
    Unreadable videos are replaced by others. Counts are over all processes, and
    ``max_files`` of the skipped files are named.
    """

    def __init__(self, max_files: NotNegativeInt = 20) -> None:
        self.max_files = max_files

    def before_train(self, runner) -> None:
        """Log what is trained on, and refuse a last batch of one pair."""
        if not len(runner.train_dataloader):
            raise InputError(
                'train_dataloader: there are fewer samples than a batch has; lower '
                'batch_size, or drop_last=False')
        if is_last_of_its_kind(self, runner):
            for line in describe_training(runner):
                runner.logger.info(line)
        batches = getattr(runner.train_dataloader, 'batch_sampler', None)
        size = getattr(batches, 'batch_size', None)
        if get_world_size() > 1 or size is None or batches.drop_last:
            return
        samples = len(batches.sampler)
        if samples % size == 1 or size == 1:
            raise InputError(
                f'train_dataloader: {samples} samples in batches of {size} leave a '
                'batch of one pair, of which nothing is learned; choose another '
                'batch_size, or drop_last=True')

    def before_train_epoch(self, runner) -> None:
        self.skipped: dict[str, str] = {}
        self.samples = self.replaced = self.truncated = 0

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        if not isinstance(data_batch, dict):
            return  # The zoo's vis_scheduler.py gives a tensor.
        for sample in data_batch.get('data_samples', ()):
            skipped = sample.get('skipped', ())
            self.skipped.update(skipped)
            self.samples += 1
            self.replaced += bool(skipped)
            self.truncated += sample.get('num_truncated', 0)

    def after_train_epoch(self, runner) -> None:
        if not is_last_of_its_kind(self, runner):
            return
        counts = (self.samples, self.replaced, self.truncated)
        parts = all_gather_object((counts, self.skipped))
        samples, replaced, truncated = (
            sum(numbers) for numbers in zip(*(part[0] for part in parts)))
        skipped = {name: why for part in parts for name, why in part[1].items()}
        if skipped:
            names = sorted(skipped)
            lines = [f'  {name}: {skipped[name]}' for name in names[:self.max_files]]
            if len(names) > self.max_files:
                lines.append(f'  and {len(names) - self.max_files} more')
            runner.logger.warning(
                f'Epoch {runner.epoch + 1}: skipped {len(names)} unreadable '
                f'videos; other videos stood in for {replaced} of {samples} '
                'samples:\n' + '\n'.join(lines))
        if truncated:
            runner.logger.warning(
                f'Epoch {runner.epoch + 1}: cut {truncated} of {samples} '
                'captions to the context length')


def describe_training(runner) -> list[str]:
    """Describe data, negatives and precision of a retriever's training in lines."""
    lines = [
        f'Trains on {osp.basename(dataset.ann_file)}: {dataset.num_videos:,} videos, '
        f'{len(dataset):,} samples; pairs of a batch that repeat a video or caption '
        f'are {"no" if dataset.mask_repeats else "taken for"} negatives'
        for dataset in _with_inner(runner.train_dataloader.dataset)
        if hasattr(dataset, 'num_videos')]
    size = getattr(getattr(runner.train_dataloader, 'batch_sampler', None),
                   'batch_size', None)
    if not lines or size is None:
        return lines
    # Gradients that are added up are of losses with their own negatives.
    steps = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    added = f', gradients of {steps} steps added up' if steps > 1 else ''
    world = get_world_size()
    precision = 'float32'
    if hasattr(runner.optim_wrapper, 'cast_dtype'):  # of a mixed precision
        dtype = runner.optim_wrapper.cast_dtype or torch.float16
        precision = f'mixed {str(dtype).removeprefix("torch.")}'
    own = getattr(getattr(runner, 'strategy', None), 'param_dtype', None)
    if own is not None:  # of a strategy that splits them
        precision += f', towers in {own}'
    products = torch.backends.cuda.matmul
    # Where torch has the new name, reading the old one may be an error.
    is_tf32 = products.fp32_precision == 'tf32' if hasattr(
        products, 'fp32_precision') else products.allow_tf32
    tf32 = ', TF32 in its products' * is_tf32
    return [*lines, f'Trains with {size * world} pairs a step ({size} in each of '
            f'{world} processes){added}, in {precision}{tf32}, by seed {runner.seed}']
