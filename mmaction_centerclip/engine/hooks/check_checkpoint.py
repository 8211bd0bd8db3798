"""Check that a checkpoint is the model's, and a resumed schedule the config's."""
import logging

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.utils.strict_loading import fits, form

from ..training_state import check_training_state

__all__ = ['CheckCheckpointHook', 'check_weights']

# Where a schedule is, as opposed to how long it is.
_PLACE = ('last_step', '_global_step', '_last_value', 'verbose')


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Refuse checkpoints that do not fit, which mmengine loads all the same.

    A test, and a training that is resumed, need all of the model's weights.
    ``load_from`` may start another head, or other necks; the log then names
    what is new.

    Raises:
        InputError: If the weights are not the model's, or the checkpoint to
            resume has no training state or that of another schedule.
    """

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check before anything is loaded into the model."""
        source = f'{getattr(runner, "_load_from", None) or "the checkpoint"}'
        trains = isinstance(runner._train_loop, BaseLoop)
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
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
        if trains and runner._resume:
            self._check_state(runner, checkpoint, source)

    def _check_state(self, runner, checkpoint: dict, source: str) -> None:
        """Compare the training of the checkpoint with that of the config."""
        check_training_state(checkpoint, source)
        _check_schedules(runner, checkpoint, source)
        _check_optimizer(runner, checkpoint['optimizer'], source)
        _check_place(runner, checkpoint, source)


def check_weights(own: dict[str, Tensor], state: dict[str, Tensor], source: str,
                  new: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Check that weights are all of a model's, and no others.

    Args:
        own (dict[str, Tensor]): The model's state dict.
        state (dict[str, Tensor]): The weights, without a wrapper's ``module.``.
        source (str): Where they are from, for messages.
        new (tuple[str, ...]): Starts of keys that need not fit. Defaults to ().

    Returns:
        tuple[list[str], list[str]]: Keys of the model that do not fit or are
        missing, and keys that the model has not; all of them are ``new``.

    Raises:
        InputError: If another key does not fit; it says what the weights are of.
    """
    fitting = [k for k, v in state.items() if k in own and fits(v, own[k])]
    missing = sorted(own.keys() - set(fitting))
    unknown = sorted(state.keys() - own.keys())
    wrong = [k for k in missing + unknown if not k.startswith(new or ('\0', ))]
    if wrong:
        shapes = [f'{k} {form(state[k])}, not {form(own[k])}'
                  for k in wrong if k in own and isinstance(state.get(k), Tensor)]
        title, advice = _describe(state, own)
        raise InputError(
            f'{source} holds {title}, of which {len(fitting)} of '
            f"the model's {len(own)} keys fit; missing "
            f'{[k for k in missing if k not in state][:3]}, not part of the '
            f'model {unknown[:3]}, of another shape or type {shapes[:3]}. '
            + advice)
    return missing, unknown


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


def _describe(state: dict, own: dict) -> tuple[str, str]:
    """Say what weights are of, and what to do with them."""
    adapted, wanted = (any('.lora_' in key for key in keys) for keys in (state, own))
    if adapted != wanted:
        return ('a retriever with LoRA', 'Use the config that it was trained with, or '
                'merge it with tools/model_converters/merge_lora.py'
                ) if adapted else (
                'weights without LoRA', 'A training starts from a retriever without '
                'LoRA with --cfg-options model.pretrained=FILE, a test runs it with '
                'model.lora=None')
    from mmaction_centerclip.conversion import SOURCES, detect_sources
    try:
        title = SOURCES[detect_sources(state)[0]].title
    except InputError as error:
        return str(error), 'Use the config that it was trained with'
    return title, 'Convert it with tools/model_converters/any_to_mmaction.py'
