"""Load weights that must fit, with one line where they do not."""
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

__all__ = ['fits', 'form', 'load_strictly']


def fits(value: object, own: Tensor) -> bool:
    """Return True if a value has a weight's shape, and is of floats if that is."""
    return (isinstance(value, Tensor) and value.shape == own.shape
            and value.is_floating_point() == own.is_floating_point())


def form(value: Tensor) -> str:
    """Describe a tensor's shape, and its type unless that is the usual one."""
    shape = tuple(value.shape)
    return f'{shape}' if value.is_floating_point() else f'{shape} of {value.dtype}'


def load_strictly(module: nn.Module, state: dict[str, Tensor], source: str,
                  may_lack: tuple[str, ...] = ()) -> None:
    """Load a state dict all of whose keys and shapes must fit.

    Args:
        module (nn.Module): Changed in place, if everything fits.
        state (dict[str, Tensor]): Its weights.
        source (str): Where they are from, for messages.
        may_lack (tuple[str, ...]): Starts of keys that the state dict need not have.
    """
    own = module.state_dict()
    missing = sorted(k for k in own.keys() - state.keys() if not k.startswith(may_lack))
    unknown = sorted(state.keys() - own.keys())
    if missing or unknown:
        raise InputError(
            f'{source} does not fit {type(module).__name__}: missing '
            f'{missing[:5]} ({len(missing)} in all), not part of the model '
            f'{unknown[:5]} ({len(unknown)} in all)')
    for key, value in state.items():
        if not fits(value, own[key]):
            raise InputError(
                f'{source} does not fit {type(module).__name__}: {key} has '
                f'the shape {form(value)}, expected {form(own[key])}')
    module.load_state_dict(state, strict=False)
