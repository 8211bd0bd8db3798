"""What a tower checks before it encodes frames."""
import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

__all__ = ['check_imgs', 'refuse_tracing']


def check_imgs(tower: nn.Module, imgs: Tensor) -> None:
    """Refuse frames of another shape or size than a tower takes.

    Args:
        tower (VideoTower): With its ``image_size``.
        imgs (Tensor): Should have the shape (B, T, 3, H, W).

    Raises:
        InputError: If they are not of that shape and size.
    """
    if imgs.ndim != 5 or imgs.shape[2] != 3:
        raise InputError('imgs must have the shape (B, T, 3, H, W), got '
                         f'{tuple(imgs.shape)}')
    if tower.image_size and imgs.shape[-2:] != tuple(tower.image_size):
        raise InputError(
            f'imgs must be frames of {tuple(tower.image_size)} pixels, the '
            f"tower's size, got {tuple(imgs.shape[-2:])}; resize or crop "
            'them in the pipeline')


def refuse_tracing(tower: nn.Module) -> None:
    """Refuse what would be wrong, or fail, without saying why.

    A trace takes shapes for constants: for a batch of another size some necks
    then give other features, without an error. ONNX has no operator that
    clusters.

    Args:
        tower (VideoTower): One with necks.

    Raises:
        InputError: While torch traces, or exports to ONNX.
    """
    if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export():
        raise InputError(
            f'{type(tower).__name__}: a tower with necks can be neither '
            'traced by torch.jit nor exported to ONNX, got '
            f'{len(tower.necks)} necks; use torch.export.export')
