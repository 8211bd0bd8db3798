"""Make up for a validation that a killed training did not reach."""
import json
import os.path as osp
from pathlib import Path

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

__all__ = ['ValidateResumedHook']


@HOOKS.register_module()
class ValidateResumedHook(Hook):
    """Validate the epoch that a training is resumed from, if that is due.

    A checkpoint is saved in front of its epoch's validation. If the log has
    none since, it runs before the next epoch, or the end.
    """
    priority = 'LOWEST'  # When all other hooks are ready to train.

    def before_train(self, runner) -> None:
        """Validate, unless the log of the work dir says that it was done."""
        loop = runner.train_loop
        if not (runner._resume and runner._load_from and runner.val_loop
                and isinstance(loop, EpochBasedTrainLoop)):
            return
        due = loop.epoch >= max(loop.val_begin, 1) and (
            loop.epoch % loop.val_interval == 0 or loop.epoch == loop.max_epochs)
        if due and not _is_logged(runner.work_dir, loop.epoch,
                                  osp.getmtime(runner._load_from)):
            runner.logger.info(f'Epoch {loop.epoch} was not validated before the '
                               'training ended; that comes first.')
            runner.val_loop.run()


def _is_logged(work_dir: str, epoch: int, since: float) -> bool:
    """Whether a validation of an epoch was logged after a point in time."""
    for path in Path(work_dir).glob('*/vis_data/scalars.json'):
        if path.stat().st_mtime < since:
            continue
        for line in path.read_text(encoding='utf-8', errors='replace').split('\n'):
            try:
                scalars = json.loads(line)
            except ValueError:
                continue  # The last line of a killed training may be cut.
            if isinstance(scalars, dict) and scalars.get(
                    'step') == epoch and 'loss' not in scalars:
                return True
    return False
