"""Positions of a text tower beyond those that it was trained with."""
import torch
from mmengine.logging import print_log
from torch import Tensor

from mmaction_centerclip.errors import InputError

KEPT, FACTOR = 20, 4
"""How many first positions stay, and by which factor the others are stretched."""
_FIRST = 'positional_embedding'
REST = f'{_FIRST}_res'
"""The name of the table of which Long-CLIP trains all rows but the first."""


def longest_context(length: int) -> int:
    """Return how many positions a model of ``length`` has once they are stretched.

    Examples:
        >>> longest_context(77)
        248
    """
    # Two others at least, of which the last ones go on.
    return length if length < KEPT + 2 else KEPT + FACTOR * (length - KEPT)


def stretch_positions(positions: Tensor) -> Tensor:
    """Stretch positions (L, C) to ``(longest_context(L), C)``, as Long-CLIP does.

    "Knowledge-preserved stretching" (`Long-CLIP <https://arxiv.org/abs/2403.15378>`_,
    section 3.1): most captions that CLIP saw are short, so that only its first 20
    positions are well trained, and stay as they are. Three rows between each two of
    the others are interpolated. Three behind the last one, of which the paper says
    nothing, go on along the last two, as in its authors' checkpoints.

    ``open_clip.model.resize_text_pos_embed`` interpolates all rows, first ones too, and
    shorter contexts as well: neither is what those rows were trained for.
    """
    kept, others = positions[:KEPT], positions[KEPT:]
    if len(others) < 2:
        raise InputError(f'positions are stretched from {KEPT + 2} on, got '
                         f'{len(positions)}')
    steps = others.diff(dim=0)
    steps = torch.cat([steps, steps[-1:]])
    parts = torch.arange(FACTOR, device=positions.device).to(positions) / FACTOR
    stretched = others[:, None] + parts[:, None] * steps[:, None]
    return torch.cat([kept, stretched.flatten(0, 1)])


def fit_positions(positions: Tensor, own_length: int, length: int,
                  source: str) -> Tensor:
    """Return the first ``length`` of a file's positions, stretched if need be.

    Those of a model of ``own_length`` are stretched for more; those of any other number
    are not, and stay too few.
    """
    if len(positions) == own_length < length:
        positions = stretch_positions(positions)
        print_log(
            f'{source}: {own_length} positions of the text tower are stretched to '
            f'{length}: the first {KEPT} are kept, the others interpolated by {FACTOR} '
            '(Long-CLIP, 2403.15378); train them before you trust them', 'current')
    return positions[:length]


def join_positions(state: dict[str, Tensor], prefix: str) -> None:
    """Put the two position tables of a Long-CLIP into one, in place, if there are two.

    Its model adds the first rows of ``positional_embedding``, which stay as they were,
    and the others of ``positional_embedding_res``.
    """
    rest = state.pop(prefix + REST, None)
    if rest is None:
        return
    first = state.get(prefix + _FIRST)
    if (first is None or first.shape != rest.shape or first.ndim != 2
            or len(first) <= KEPT):
        raise InputError(
            f"a Long-CLIP's {_FIRST} and {REST} must be of one shape, of more than "
            f'{KEPT} rows, got {None if first is None else tuple(first.shape)} and '
            f'{tuple(rest.shape)}')
    state[prefix + _FIRST] = torch.cat([first[:KEPT], rest[KEPT:]])
