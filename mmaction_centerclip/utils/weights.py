"""Load weights that must fit, hash those of a model, and take their norm."""
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mmaction_centerclip.errors import InputError


def compare_weights(own: dict[str, Tensor], state: dict[str, Tensor]
                    ) -> tuple[list[str], list[str], list[str]]:
    """List the keys that are missing, unknown, and of another form, with both forms."""
    known = own.keys() & state.keys()
    return (sorted(own.keys() - known), sorted(state.keys() - known),
            [f'{key} has the shape {_form(state[key])}, expected {_form(own[key])}'
             for key in sorted(known) if not _fits(state[key], own[key])])


def _fits(value: object, own: Tensor) -> bool:
    """Return True if a value has a weight's shape, and is of floats if that is."""
    return (isinstance(value, Tensor) and value.shape == own.shape
            and value.is_floating_point() == own.is_floating_point())


def _form(value: object) -> str:
    if not isinstance(value, Tensor):
        return f'of no tensor ({type(value).__name__})'
    shape = tuple(value.shape)
    return f'{shape}' if value.is_floating_point() else f'{shape} of {value.dtype}'


def load_strictly(module: nn.Module, state: dict[str, Tensor], source: str,
                  may_lack: tuple[str, ...] = ()) -> None:
    """Load a state dict whose keys and shapes must fit; some prefixes ``may_lack``."""
    missing, unknown, other = compare_weights(module.state_dict(), state)
    missing = [key for key in missing if not key.startswith(may_lack)]
    if missing or unknown or other:
        raise InputError(
            f'{source} does not fit {type(module).__name__}: missing '
            f'{missing[:5]} ({len(missing)} in all), not part of the model '
            f'{unknown[:5]} ({len(unknown)} in all); {"; ".join(other[:3])}')
    module.load_state_dict(state, strict=False)


def hash_weights(digest, model: nn.Module) -> None:
    """Take names, types, shapes and values of all weights into a hash."""
    for name, value in sorted(model.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(whole(value).detach().cpu().contiguous().flatten().view(
            torch.uint8).numpy().data)


def whole(value: Tensor) -> Tensor:
    """Return a tensor with the parts that other processes hold, which all must call."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def split_sharded(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Part tensors that are split over processes from others, without empty parts."""
    parts: tuple[list, list] = ([], [])
    for tensor in tensors:
        parts[isinstance(tensor, DTensor)].append(tensor)
    return [part for part in parts if part]


def total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0, **options) -> Tensor:
    """Return torch's ``get_total_norm``, also where some are split over processes."""
    norms = [whole(nn.utils.get_total_norm(part, norm_type, **options))
             for part in split_sharded(tensors)]
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(
        torch.stack(norms), norm_type)
