"""Draws of a training that can be repeated, and a report of its data."""
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from mmaction_centerclip.errors import InputError

from .common import is_last_of_its_kind


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
            _set_epoch(runner.train_dataloader.dataset, runner.seed, runner.epoch)


def _set_epoch(dataset, seed: int, epoch: int) -> None:
    if hasattr(dataset, 'set_epoch'):
        dataset.set_epoch(seed, epoch)
    for inner in (getattr(dataset, 'dataset', None),
                  *getattr(dataset, 'datasets', ())):
        if inner is not None:
            _set_epoch(inner, seed, epoch)


@HOOKS.register_module()
class DataReportHook(Hook):
    """Count the videos that training skipped and the captions that it cut.

    Unreadable videos are replaced by others. Counts are over all processes, and
    ``max_files`` of the skipped files are named.
    """

    def __init__(self, max_files: int = 20) -> None:
        if max_files < 0:
            raise InputError(f'max_files must not be negative, got {max_files!r}')
        self.max_files = max_files

    def before_train(self, runner) -> None:
        """Refuse a last batch of one pair, of which a contrast learns nothing."""
        if not len(runner.train_dataloader):
            raise InputError(
                'train_dataloader: there are fewer samples than a batch has; lower '
                'batch_size, or drop_last=False')
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
