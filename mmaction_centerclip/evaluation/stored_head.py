"""Build a head out of a file of data: the one place where that happens."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import init_options
from mmaction_centerclip.utils.tensor_files import check_dense
from mmaction_centerclip.utils.weights import compare_weights

_ROOMS = ('mmaction_centerclip.models.heads.', 'mmaction_centerclip.models.losses')


def build_stored_head(stored: object) -> nn.Module:
    """Build a similarity head from its ``config`` and ``state_dict``, safely.

    A registry calls whatever a ``type`` names, dotted paths included, which is not for
    a file to choose. So only registered heads and losses of this package are built, or
    subclasses, with options of their constructors, and after all checks.
    """
    if not isinstance(stored, dict) or stored.keys() != {'config', 'state_dict'}:
        raise InputError('the head must have a config and a state_dict, got '
                         f'{sorted(stored) if isinstance(stored, dict) else stored!r}')
    config, state = stored['config'], stored['state_dict']
    _check_config(config, 'head')
    if not isinstance(state, dict) or not all(
            isinstance(x, Tensor) for x in state.values()):
        raise InputError("the head's state_dict must be of tensors")
    for name, value in state.items():
        check_dense(f'the head: {name!r}', value)
    largest = max([len(state), *(n for x in state.values() for n in x.shape)])
    for option, value in config.items():
        # Which count layers, heads and the like; each type is checked by its class.
        if option.startswith('num_') and isinstance(
                value, (int, float)) and value > largest:
            raise InputError(f'head: {option} must be at most {largest}, the largest '
                             f'number in its weights, got {value!r}')
    cls = MODELS.module_dict[config['type']]
    options = {k: v for k, v in config.items() if k != 'type'}
    try:
        # Without values first: a file must not say how much memory is taken.
        with torch.device('meta'):
            differ = compare_weights(cls(**options).state_dict(), state)
        if any(differ):
            raise InputError(f'the head {config!r} cannot be built: its weights have '
                             'other names or shapes than those that are stored')
        head = cls(**options)
        head.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'the head {config!r} cannot be built: {reason}') from None
    return head.eval()


def _check_config(config: object, place: str) -> None:
    """Raise an InputError unless a config may be built."""
    if not isinstance(config, dict):
        raise InputError(f'{place} must be a config, got {config!r}')
    name = config.get('type')
    cls = MODELS.module_dict.get(name) if isinstance(name, str) else None
    if cls is None or not any(
            base.__module__.startswith(_ROOMS) for base in cls.__mro__):
        raise InputError(
            f'{place}: type must be a head or a loss of this project by its '
            f'registered name, got {name!r}')
    allowed = init_options(cls).keys() - {'init_cfg', 'self'}
    for option, value in config.items():
        if option == 'type':
            continue
        if option not in allowed:
            raise InputError(f'{place}: {name} takes {sorted(allowed)} from a '
                             f'file, got {option!r}')
        if isinstance(value, dict):
            _check_config(value, f'{place}.{option}')
        elif value is not None and not isinstance(value, (bool, int, float, str)):
            raise InputError(f'{place}: {option} must be a number, a text or a '
                             f'config, got {value!r}')
