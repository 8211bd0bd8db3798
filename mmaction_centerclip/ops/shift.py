"""Exchange channels between neighbouring frames."""
from torch import Tensor

from mmaction_centerclip.errors import InputError


def temporal_shift(tokens: Tensor, fold_div: int = 8) -> Tensor:
    """Shift a part of the channels by a frame (TSM, arXiv 1811.08383).

    The first C // ``fold_div`` channels come from the next frame, the next C //
    ``fold_div`` from the previous one, zeros where there is none.

    Args:
        tokens (Tensor): Shape (B, T, N, C).
        fold_div (int):

    Returns:
        Tensor: Same shape.
    """
    fold = tokens.shape[-1] // check_fold_div(fold_div)
    result = tokens.clone()
    result[:, :-1, :, :fold] = tokens[:, 1:, :, :fold]
    result[:, -1:, :, :fold] = 0
    result[:, 1:, :, fold:2 * fold] = tokens[:, :-1, :, fold:2 * fold]
    result[:, :1, :, fold:2 * fold] = 0
    return result


def check_fold_div(fold_div: int) -> int:
    """Return ``fold_div`` if it is an integer of at least 2."""
    if not isinstance(fold_div, int) or fold_div < 2:
        raise InputError('fold_div must be an integer of at least 2, got '
                         f'{fold_div!r}')
    return fold_div
