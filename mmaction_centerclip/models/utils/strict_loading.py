"""Load weights that must fit, with one line where they do not."""
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

__all__ = ['load_strictly']


def load_strictly(module: nn.Module, state: dict[str, Tensor], source: str,
                  may_lack: tuple[str, ...] = ()) -> None:
    """Load a state dict all of whose keys and shapes must fit.

    Args:
        module (nn.Module): Changed in place, if everything fits.
        state (dict[str, Tensor]): Its weights.
        source (str): Where they are from, for messages.
        may_lack (tuple[str, ...]): Starts of keys that the state dict need
            not have. Defaults to ().

    Raises:
        InputError: If a key is missing, unknown or of another shape.
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
        if value.shape != own[key].shape:
            raise InputError(
                f'{source} does not fit {type(module).__name__}: {key} has '
                f'the shape {tuple(value.shape)}, expected '
                f'{tuple(own[key].shape)}')
    module.load_state_dict(state, strict=False)
