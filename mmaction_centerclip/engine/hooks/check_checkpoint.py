"""Check that a checkpoint is the model's, and a resumed schedule the config's."""
import logging
from collections.abc import Sequence

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from torch import Tensor, nn

from mmaction_centerclip.clip.feature_settings import SETTINGS, check_settings
from mmaction_centerclip.engine.training_state import check_training_state
from mmaction_centerclip.engine.weights import check_weights, settings_of
from mmaction_centerclip.errors import InputError

__all__ = ['CheckCheckpointHook']

# Where a schedule is, as opposed to how long it is.
_PLACE = ('last_step', '_global_step', '_last_value', 'verbose')


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Refuse checkpoints that do not fit, which mmengine loads all the same.

    A test, and a training that is resumed, need all of the model's weights.
    ``load_from`` may start another head, or other necks; the log then names
    what is new. Checkpoints that are saved record what no weight tells, see
    :func:`settings_of`, and are refused by a config with other settings.

    Args:
        allow_other (Sequence[str]): Recorded settings that may differ, such as
            ``'lora_scale'``. Defaults to ().
    """

    def __init__(self, allow_other: Sequence[str] = ()) -> None:
        self.allow_other = allow_other

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Record what changes features, but no weight."""
        checkpoint['meta'][SETTINGS] = settings_of(_unwrapped(runner), runner.cfg)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check before anything is loaded into the model."""
        source = f'{getattr(runner, "_load_from", None) or "the checkpoint"}'
        trains = isinstance(runner._train_loop, BaseLoop)
        model = _unwrapped(runner)
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
            self._check_state(runner, checkpoint, source)

    def _check_state(self, runner, checkpoint: dict, source: str) -> None:
        """Compare the training of the checkpoint with that of the config."""
        check_training_state(checkpoint, source)
        _check_schedules(runner, checkpoint, source)
        _check_optimizer(runner, checkpoint['optimizer'], source)
        _check_place(runner, checkpoint, source)


def _unwrapped(runner) -> nn.Module:
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def _check_schedules(runner, checkpoint: dict, source: str) -> None:
    """Compare the schedules of the checkpoint and of the config."""
    saved, built = checkpoint.get('param_schedulers'), runner.param_schedulers
    if built and not saved:
        raise InputError(f'{source} has no state of the learning rate (param_'
                         'schedulers), which a resumed training needs')
    if not isinstance(saved, list) or not isinstance(built, list):
        return
    saved, built = ([{k: v for k, v in state.items() if k not in _PLACE}
                     for state in states]
                    for states in (saved, [s.state_dict() for s in built]))
    if saved != built:
        differing = sorted({
            f'{k}={a.get(k)!r}, not {b.get(k)!r}' for a, b in zip(saved, built)
            for k in a.keys() | b.keys() if a.get(k) != b.get(k)})
        raise InputError(
            f'{source} was trained with another schedule than the config '
            f'has, in iterations: {"; ".join(differing[:4]) or len(saved)}. '
            'Resume with the same length, batch size, number of processes and '
            'learning rate, or start anew from its weights with '
            '--cfg-options load_from=FILE')


def _check_optimizer(runner, saved: dict, source: str) -> None:
    """Compare the parameters that an optimizer's state is of."""
    if 'param_groups' not in saved or not isinstance(
            runner.optim_wrapper, OptimWrapper):
        return  # of several optimizers
    groups = runner.optim_wrapper.optimizer.param_groups
    found = [len(group.get('params', ())) for group in saved['param_groups']]
    own = [len(group['params']) for group in groups]
    parameters = [p for group in groups for p in group['params']]
    wrong = [number for number, state in saved['state'].items()
             for name in ('exp_avg', 'exp_avg_sq', 'momentum_buffer')
             if isinstance(state, dict) and isinstance(state.get(name), Tensor)
             and (number not in range(len(parameters))
                  or state[name].shape != parameters[number].shape)]
    if found != own or wrong:
        raise InputError(
            f'{source} has the state of another optimizer: groups of {found} '
            f'parameters, expected {own}, of other shapes {wrong[:5]}')


def _check_place(runner, checkpoint: dict, source: str) -> None:
    """Check that the counts of a checkpoint are those of this training."""
    epoch, iteration = (checkpoint['meta'][name] for name in ('epoch', 'iter'))
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        length = len(loop.dataloader)
        if epoch > loop.max_epochs or iteration // length != epoch:
            raise InputError(
                f'{source} is of epoch {epoch}, iteration {iteration}; the config '
                f'has {loop.max_epochs} epochs of {length} iterations. Resume with '
                'the same length, batch size and number of processes')
    saved = checkpoint.get('param_schedulers')
    for state in saved if isinstance(saved, list) else ():
        place = epoch if state.get('by_epoch') else iteration
        # A schedule that monitors a figure counts validations.
        if 'monitor' not in state and state.get('_global_step', place) != place:
            raise InputError(
                f'{source} is damaged: its learning rate is that of step '
                f'{state["_global_step"]!r}, its weights are of {place}')
