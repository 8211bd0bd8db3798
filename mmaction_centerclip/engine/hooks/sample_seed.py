"""Tell the training dataset the seed and the epoch."""
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

__all__ = ['SampleSeedHook']


@HOOKS.register_module()
class SampleSeedHook(Hook):
    """Make the draws of a sample depend on seed, epoch and index only.

    Frames and captions drawn in training are then the same whatever the
    number of workers and processes, and in a run that was killed and resumed.
    Calls ``set_epoch(seed, epoch)`` of every dataset that has it, inside
    ``ConcatDataset`` and other wrappers too; the repeats of a
    ``RepeatDataset`` draw the same within an epoch. Does nothing in an
    iteration-based loop, whose samples draw from their worker's generator.
    """

    def before_train_epoch(self, runner) -> None:
        """Set the epoch before its first batch is fetched."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            _set_epoch(runner.train_dataloader.dataset, runner.seed, runner.epoch)


def _set_epoch(dataset, seed: int, epoch: int) -> None:
    if hasattr(dataset, 'set_epoch'):
        dataset.set_epoch(seed, epoch)
    for inner in (getattr(dataset, 'dataset', None),
                  *getattr(dataset, 'datasets', ())):
        if inner is not None:
            _set_epoch(inner, seed, epoch)
