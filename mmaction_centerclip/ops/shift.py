"""Exchange channels between neighbouring frames."""
from torch import Tensor

__all__ = ['temporal_shift', 'token_shift']


def temporal_shift(tokens: Tensor, fold_div: int = 8) -> Tensor:
    """Shift a part of the channels by a frame (TSM, arXiv 1811.08383).

    The first C // ``fold_div`` channels come from the next frame, the next
    C // ``fold_div`` from the previous one, zeros where there is none.

    Args:
        tokens (Tensor): Shape (B, T, N, C).
        fold_div (int): Defaults to 8.

    Returns:
        Tensor: Same shape.

    Raises:
        ValueError: If ``fold_div`` is less than 2.
    """
    if fold_div < 2:
        raise ValueError(f'fold_div must be at least 2, got {fold_div!r}')
    fold = tokens.shape[-1] // fold_div
    result = tokens.clone()
    result[:, :-1, :, :fold] = tokens[:, 1:, :, :fold]
    result[:, -1:, :, :fold] = 0
    result[:, 1:, :, fold:2 * fold] = tokens[:, :-1, :, fold:2 * fold]
    result[:, :1, :, fold:2 * fold] = 0
    return result


def token_shift(tokens: Tensor,
                num_prefix_tokens: int = 1,
                fold_div: int = 8) -> Tensor:
    """Shift the class token only (Token Shift, arXiv 2108.02432).

    Args:
        tokens (Tensor): Shape (B, T, P + N, C), prefix tokens first.
        num_prefix_tokens (int): P. Defaults to 1.
        fold_div (int): See :func:`temporal_shift`. Defaults to 8.

    Returns:
        Tensor: Same shape.
    """
    result = tokens.clone()
    prefix = tokens[:, :, :num_prefix_tokens]
    result[:, :, :num_prefix_tokens] = temporal_shift(prefix, fold_div)
    return result
