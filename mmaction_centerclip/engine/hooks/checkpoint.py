"""Hooks that save, check and go on from checkpoints."""
import copy
import json
import logging
import os
import os.path as osp
from collections.abc import Sequence
from pathlib import Path

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop

from mmaction_centerclip.clip.feature_settings import SETTINGS, check_settings
from mmaction_centerclip.engine.checkpoints import (
    check_resumed,
    check_weights,
    settings_of,
)
from mmaction_centerclip.engine.runner import model_of
from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.utils.files import write_text

_LOWER_IS_BETTER = ('MdR', 'MnR')


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` that writes checkpoints atomically.

    Old ones are deleted when the new one is there. In a work dir that was copied,
    nothing of the original is touched. Other options are MMEngine's.

    Args:
        save_best (str | Sequence[str], optional): Names of metrics, such as
            ``'retrieval/t2v/R1'``, or ``'auto'`` for that one.
        rule (str | Sequence[str], optional): ``'greater'`` or ``'less'``, to be
            given for metrics of others; of ours, it is known.
    """

    def __init__(self, interval: int = 1, save_best: str | Sequence[str] | None = None,
                 rule: str | Sequence[str] | None = None, by_epoch: bool = True,
                 max_keep_ckpts: int = -1, filename_tmpl: str | None = None,
                 **kwargs) -> None:
        names = [save_best] if isinstance(save_best, str) else list(save_best or ())
        names = ['retrieval/t2v/R1' if name == 'auto' else name for name in names]
        if names and rule is None:
            rule = ['less' if name.endswith(_LOWER_IS_BETTER) else 'greater'
                    for name in names]
        for option, value in (('max_keep_ckpts (or -1: all)', max_keep_ckpts),
                              ('interval (or -1: the last only)', interval)):
            if value != -1:
                check_positive_int(f'CheckpointHook: {option}', value)
        if filename_tmpl is not None and filename_tmpl.count('{}') != 1:
            raise InputError('CheckpointHook: filename_tmpl must have one {} for the '
                             f'number of the epoch, got {filename_tmpl!r}')
        super().__init__(interval=interval, save_best=names or None, rule=rule,
                         by_epoch=by_epoch, max_keep_ckpts=max_keep_ckpts,
                         filename_tmpl=filename_tmpl, **kwargs)

    def before_train(self, runner) -> None:
        """Check ``save_best``, and take what is resumed to this work dir."""
        self._check_names(runner)
        hub = runner.message_hub
        folder = self.out_dir or runner.work_dir
        for name, path in list(hub.runtime_info.items()):
            if name.startswith('best_ckpt') and isinstance(path, str):
                here = osp.join(folder, osp.basename(path))
                # It is deleted when there is a better one: no other file.
                is_one = osp.basename(path).startswith('best_') and osp.isfile(here)
                hub.update_info(name, here if is_one else None)
        super().before_train(runner)

    def _check_names(self, runner) -> None:
        if self.save_best is None or runner.val_loop is None:
            return
        known: set[str] = set()
        for metric in runner.val_evaluator.metrics:
            if not hasattr(metric, 'metric_names'):
                return  # of others, who do not say
            known.update(metric.metric_names())
        for name in self.save_best:
            if name not in known:
                raise InputError(f'save_best must be one of {sorted(known)}, '
                                 f'got {name!r}')

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        """Save, then point ``last_checkpoint`` at it, then delete the oldest."""
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            # With those to be deleted: a training that a kill kept from it
            # makes up for that when it is resumed (in before_train).
            runner.message_hub.update_info('keep_ckpt_ids',
                                           outdated + list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(self.out_dir, name, self.file_client_args,
                               save_optimizer=self.save_optimizer,
                               save_param_scheduler=self.save_param_scheduler,
                               meta=meta, by_epoch=self.by_epoch,
                               backend_args=self.backend_args, **self.args)
        if not is_main_process():
            return
        write_text(self.last_ckpt, osp.join(runner.work_dir, 'last_checkpoint'))
        for old in outdated:
            path = self.file_backend.join_path(
                self.out_dir, self.filename_tmpl.format(old))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """Save the best checkpoint, and only then delete the one before."""
        backend, outdated = self.file_backend, []
        self.file_backend = copy.copy(backend)
        self.file_backend.remove = outdated.append
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        best = os.fspath(getattr(self, 'best_ckpt_path', None) or '')
        for path in outdated:
            if os.fspath(path) != best:
                backend.remove(path)


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Refuse checkpoints that do not fit, which mmengine loads all the same.

    A test or a resumed training needs all weights; ``load_from`` may start another head
    or other necks, which the log names. Checkpoints record what no weight tells, see
    :func:`settings_of`, and are refused by a config with other settings, but for those
    in ``allow_other``, such as ``'lora_scale'``.
    """

    def __init__(self, allow_other: Sequence[str] = ()) -> None:
        self.allow_other = allow_other

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint['meta'][SETTINGS] = settings_of(model_of(runner), runner.cfg)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        source = f'{getattr(runner, "_load_from", None) or "the checkpoint"}'
        trains = isinstance(runner._train_loop, BaseLoop)
        model = model_of(runner)
        state = checkpoint.get('state_dict', checkpoint)
        state = {str(k).removeprefix('module.'): v for k, v in state.items()}
        fresh = trains and not runner._resume
        # A fresh training may have another head, and other necks.
        new = ('head.', 'backbone.necks.', 'video_projection.') if fresh else ()
        missing, unknown = check_weights(model.state_dict(), state, source, new)
        if missing or unknown:
            runner.logger.log(
                logging.WARNING,
                f'{source}: {len(missing)} keys of the model are new and keep '
                f'their start, such as {missing[:3]}; {len(unknown)} of the file '
                f'are not used, such as {unknown[:3]}')
        check_settings(checkpoint, settings_of(model, runner.cfg), source,
                       self.allow_other, starts=fresh)
        if trains and runner._resume:
            check_resumed(runner, checkpoint, source)


@HOOKS.register_module()
class ValidateResumedHook(Hook):
    """Run the validation that an interrupted run missed.

    A checkpoint is saved in front of its epoch's validation. If the log has
    none since, it runs before the next epoch, or the end.
    """
    priority = 'LOWEST'  # When all other hooks are ready to train.

    def before_train(self, runner) -> None:
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
    """Return True if a validation of an epoch was logged after a point in time."""
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
