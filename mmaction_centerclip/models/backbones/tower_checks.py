"""Check a tower's frames and necks before it encodes anything."""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenNeck


def check_imgs(tower: nn.Module, imgs: Tensor) -> None:
    """Refuse frames of another shape or size than a tower takes."""
    if imgs.ndim != 5 or imgs.shape[2] != 3:
        raise InputError('imgs must have the shape (B, T, 3, H, W), got '
                         f'{tuple(imgs.shape)}')
    if tower.image_size and imgs.shape[-2:] != tuple(tower.image_size):
        raise InputError(
            f'imgs must be frames of {tuple(tower.image_size)} pixels, the '
            f"tower's size, got {tuple(imgs.shape[-2:])}; resize or crop "
            'them in the pipeline')


def refuse_tracing(tower: nn.Module) -> None:
    """Refuse tracing, which takes shapes for constants, and ONNX by it.

    Some necks would then be wrong for another batch size, without an error.
    """
    if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export():
        raise InputError(
            f'{type(tower).__name__}: a tower with necks can be neither '
            'traced by torch.jit nor exported to ONNX, got '
            f'{len(tower.necks)} necks; use torch.export.export, or for ONNX '
            'tools/deployment/export_onnx.py')


def check_necks(tower: nn.Module, necks: Sequence[TokenNeck]) -> None:
    """Refuse necks that cannot stand where they want to."""
    blocks = tower.tower_blocks()
    for neck in necks:
        if neck.before_block > len(blocks):
            raise InputError(f"{neck}: before_block must be from 1 to the tower's "
                             f'{len(blocks)} blocks, got {neck.before_block}')
        block, *later = blocks[neck.before_block - 1:]
        if neck.inside_block and tower.block_halves(block) is None:
            raise InputError(f'{neck} works between attention and MLP, '
                             f'which {type(block).__name__} does not have')
        tower.check_neck(neck)
        opened = [block] * bool(neck.reads)
        if neck.proportional_attention:
            opened += [block, *later]
        for block in opened:
            if tower.open_attention(block) is None or tower.block_halves(block) is None:
                raise InputError(
                    f'{neck} needs keys of the attention, or a bias in it, which '
                    f'{type(tower).__name__} does not give of {type(block).__name__}'
                    + (neck.without_attention and
                       f'; without them: {neck.without_attention}'))
        if neck.keeps_prefix and tower.num_prefix_tokens and tower.pools_patches:
            raise InputError(f'{neck} keeps the class tokens of all frames, which '
                             f'{type(tower).__name__} would pool together; it must '
                             'pool a class token')
        if neck.pads and len(necks) > 1:
            raise InputError(f'{neck} leaves rows of tokens of different lengths, '
                             'which others do not take; it must be the only neck, got '
                             f'{len(necks)}')
