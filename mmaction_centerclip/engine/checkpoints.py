"""Checkpoints of a training: what they must hold, and which to go on from."""
import os.path as osp
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor, nn

from mmaction_centerclip.clip.feature_settings import check_settings, describe_settings
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import lock_folder, remove_partials
from mmaction_centerclip.utils.tensor_files import read_checkpoint
from mmaction_centerclip.utils.weights import compare_weights

from .config import pipeline_settings

# Where a schedule is, as opposed to how long it is.
_PLACE = ('last_step', '_global_step', '_last_value', 'verbose')


def load_checkpoint(model: nn.Module, path: str, cfg: Config) -> None:
    """Load a local checkpoint of exactly this model, which ``cfg`` builds, in place."""
    state, file, _ = read_checkpoint(path)
    check_weights(model.state_dict(), state, path)
    hook = cfg.get('default_hooks', {}).get('check_checkpoint') or {}
    check_settings(file, settings_of(model, cfg), path, hook.get('allow_other', ()))
    model.load_state_dict(state)


def settings_of(model: nn.Module, cfg: Config) -> dict[str, object]:
    """Return what changes a model's features, but no key and no shape."""
    return {**describe_settings(model), **pipeline_settings(cfg)}


def lock_work_dir(work_dir: str) -> None:
    """Make a work dir and keep it for this process, as long as it lives.

    Parts of checkpoints that a killed training has left there are removed.
    """
    lock_folder(work_dir, f'--work-dir {work_dir}', 'training')
    for names in '*.pth', 'last_checkpoint':
        remove_partials(work_dir, names)


def find_resumable(work_dir: str) -> str | None:
    """Find the newest readable checkpoint of a training in a work dir.

    Only files of the folder itself count: what ``last_checkpoint`` names may lie where
    the folder was copied from. Return None where there is no checkpoint; if there are
    some, but none is readable, that is an ``InputError``.
    """
    folder = Path(work_dir)
    numbered = {path: int(match[1]) for path in folder.glob('*.pth')
                if (match := re.fullmatch(r'(?:epoch|iter)_([0-9]+)\.pth', path.name))}
    paths = sorted(numbered, key=numbered.get, reverse=True)
    named = folder / 'last_checkpoint'
    if named.is_file():
        name = osp.basename(named.read_text(errors='replace').strip())
        if name and (folder / name).is_file() and folder / name not in numbered:
            paths.insert(0, folder / name)
    problems = []
    for path in paths:
        try:
            _, rest, _ = read_checkpoint(str(path))
            check_training_state(rest, str(path))
        except InputError as error:
            problems.append(str(error))
            print_log(f'Not resumed from: {error}', 'current', level=30)
            continue
        print_log(f'Resuming from {path}.', 'current')
        return str(path)
    if problems:
        raise InputError(f'--resume: no checkpoint in {work_dir} is readable: '
                         f'{"; ".join(problems[:3])}')
    return None


def check_weights(own: dict[str, Tensor], state: dict[str, Tensor], source: str,
                  new: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Check that weights are all of a model's, and no others.

    The weights have no wrapper's ``module.``; keys that start with one of ``new`` need
    not fit. Return the model's keys that do not fit or are missing, and keys that the
    model has not; ``source`` is for messages.
    """
    missing, unknown, other = compare_weights(own, state)
    # One of another shape is new, as one that is missing.
    missing = sorted(missing + [line.split(' ')[0] for line in other])
    if any(not key.startswith(new or ('\0', )) for key in missing + unknown):
        title, advice = _describe(state, own)
        raise InputError(
            f'{source} holds {title}, of which {len(own) - len(missing)} of '
            f"the model's {len(own)} keys fit; missing "
            f'{[k for k in missing if k not in state][:3]}, not part of the '
            f'model {unknown[:3]}, of another shape or type {other[:3]}. {advice}')
    return missing, unknown


def _describe(state: dict, own: dict) -> tuple[str, str]:
    """Return what weights are of, and what to do with them."""
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


def check_training_state(checkpoint: dict, source: str) -> None:
    """Check the form of what a checkpoint has beside weights, which MMEngine trusts."""
    if not {'optimizer', 'meta'} <= checkpoint.keys():
        raise InputError(
            f'{source} has weights only, without the state of a training to '
            'resume; start from it with --cfg-options load_from=FILE')
    meta, optimizer = checkpoint['meta'], checkpoint['optimizer']
    hub = checkpoint.get('message_hub')
    expected = {
        'meta.epoch and meta.iter: two counts': isinstance(meta, dict) and all(
            _is_count(meta.get(name)) for name in ('epoch', 'iter')),
        "optimizer: an optimizer's state": isinstance(optimizer, dict) and (
            _is_optimizer(optimizer) or bool(optimizer)
            and all(map(_is_optimizer, optimizer.values()))),
        'param_schedulers: states of schedules': _are_schedulers(
            checkpoint.get('param_schedulers', [])),
        "message_hub: a log's state": isinstance(hub, dict) and all(
            isinstance(hub.get(name), dict)
            for name in ('log_scalars', 'runtime_info', 'resumed_keys')),
    }
    info = hub['runtime_info'] if expected["message_hub: a log's state"] else {}
    kept = info.get('keep_ckpt_ids', [])
    expected['keep_ckpt_ids: a list of counts'] = isinstance(kept, list) and all(
        map(_is_count, kept))
    expected['best_score: a number'] = all(
        isinstance(value, (int, float)) for name, value in info.items()
        if name.startswith('best_score'))
    wrong = [what for what, is_so in expected.items() if not is_so]
    if wrong:
        raise InputError(f'{source} has a state of a training that is damaged, '
                         f'expected {"; ".join(wrong)}')


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_optimizer(state: object) -> bool:
    return isinstance(state, dict) and isinstance(
        state.get('state'), dict) and isinstance(
            state.get('param_groups'), list) and all(
                isinstance(group, dict) for group in state['param_groups'])


def _are_schedulers(states: object) -> bool:
    if isinstance(states, dict):  # of several optimizers
        return all(map(_are_schedulers, states.values()))
    return isinstance(states, list) and all(isinstance(state, dict) for state in states)


def check_resumed(runner, checkpoint: dict, source: str) -> None:
    """Compare the training of a checkpoint with that of the runner's config."""
    check_training_state(checkpoint, source)
    _check_schedules(runner, checkpoint, source)
    _check_optimizer(runner, checkpoint['optimizer'], source)
    _check_place(runner, checkpoint, source)


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
