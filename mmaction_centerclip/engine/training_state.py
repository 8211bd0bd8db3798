"""Check that a checkpoint holds all that a training needs to go on from it."""
from mmaction_centerclip.errors import InputError

__all__ = ['check_training_state']


def check_training_state(checkpoint: dict, source: str) -> None:
    """Check the form of what a checkpoint holds beside weights.

    MMEngine takes it as it is: a count of another kind ends in the middle of
    its code, and a file may be named there that is deleted later.

    Args:
        checkpoint (dict): As read.
        source (str): Where it is from, for messages.

    Raises:
        InputError: If there is no state of a training, or one that is no
            optimizer's, schedule's or log's.
    """
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
    return isinstance(states, list) and all(
        isinstance(state, dict) for state in states)
