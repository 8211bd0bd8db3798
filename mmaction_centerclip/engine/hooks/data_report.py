"""Report skipped videos and cut captions at an epoch's end."""
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook

from mmaction_centerclip.errors import InputError

from .last_of_its_kind import is_last_of_its_kind

__all__ = ['DataReportHook']


@HOOKS.register_module()
class DataReportHook(Hook):
    """Count the videos that training skipped and the captions that it cut.

    Unreadable videos are replaced by others while training goes on; this
    says how many there were, and which. Counts are over all processes.

    Args:
        max_files (int): How many of the skipped files to name.
            Defaults to 20.

    Raises:
        InputError: If ``max_files`` is negative.
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
        """Start counting anew."""
        self.skipped: dict[str, str] = {}
        self.samples = self.replaced = self.truncated = 0

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        """Add the counts of the batch's samples."""
        if not isinstance(data_batch, dict):
            return  # The zoo's vis_scheduler.py gives a tensor.
        for sample in data_batch.get('data_samples', ()):
            skipped = sample.get('skipped', ())
            self.skipped.update(skipped)
            self.samples += 1
            self.replaced += bool(skipped)
            self.truncated += sample.get('num_truncated', 0)

    def after_train_epoch(self, runner) -> None:
        """Write the report to the log."""
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
