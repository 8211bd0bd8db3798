"""Time videos of different numbers of tokens in a block: padded, and packed."""
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from .measure import median_ratio, time_turns

__all__ = ['benchmark_packing', 'pad_block', 'pack_block', 'mask_block']


@torch.no_grad()
def benchmark_packing(sizes: Sequence[Tensor], width: int, heads: int, repeats: int = 9,
                      clock: Callable[[], float] = time.process_time
                      ) -> dict[str, float]:
    """Time a transformer block of random weights on tokens that count by size.

    Args:
        sizes (Sequence[Tensor]): Of each video the sizes (L_i, ) of its tokens,
            above 0, which attention counts them by.
        width (int): Of the tokens.
        heads (int): Of the attention.
        repeats (int): Calls of each way, in turns. Defaults to 9.
        clock (Callable): See :func:`time_turns`.

    Returns:
        dict[str, float]: ``longest``, ``mean``: tokens of a video; ``padded``,
        ``packed`` and ``masked``: milliseconds of :func:`pad_block`,
        :func:`pack_block` and :func:`mask_block`, which give equal tokens; and
        ``packed_ratio`` and ``masked_ratio`` to padding.
    """
    block = Block(width, heads, qkv_bias=True).eval()
    tokens = [torch.randn(len(size), width) for size in sizes]
    ways = dict(padded=pad_block, packed=pack_block, masked=mask_block)
    calls = {name: partial(way, block, tokens, sizes) for name, way in ways.items()}
    times = time_turns(calls, repeats, clock=clock)
    counts = [len(size) for size in sizes]
    return dict(longest=max(counts), mean=statistics.fmean(counts),
                **{name: statistics.median(found) for name, found in times.items()},
                packed_ratio=median_ratio(times['packed'], times['padded']),
                masked_ratio=median_ratio(times['masked'], times['padded']))


def pad_block(block: Block, tokens: Sequence[Tensor], sizes: Sequence[Tensor]
              ) -> list[Tensor]:
    """Run a block on videos padded to the longest; padding has the size 0."""
    bias = pad_sequence(sizes, batch_first=True).float().log()[:, None, None]
    out = _run(block, pad_sequence(tokens, batch_first=True),
               partial(F.scaled_dot_product_attention, attn_mask=bias))
    return [x[:len(size)] for x, size in zip(out, sizes)]


def pack_block(block: Block, tokens: Sequence[Tensor], sizes: Sequence[Tensor]
               ) -> list[Tensor]:
    """Run a block on all tokens in a row, but the attention video by video."""
    counts = [len(size) for size in sizes]

    def attend(*qkv: Tensor) -> Tensor:
        parts = zip(*(part.split(counts, dim=2) for part in qkv), sizes)
        return torch.cat([
            F.scaled_dot_product_attention(*part, attn_mask=size.float().log().view(
                1, 1, 1, -1)) for *part, size in parts], dim=2)

    return list(_run(block, torch.cat(tokens)[None], attend)[0].split(counts))


def mask_block(block: Block, tokens: Sequence[Tensor], sizes: Sequence[Tensor]
               ) -> list[Tensor]:
    """Run a block on all tokens in a row, under a mask of a block for each video."""
    counts = [len(size) for size in sizes]
    mask = torch.block_diag(*(size.float().expand(len(size), -1) for size in sizes))
    out = _run(block, torch.cat(tokens)[None],
               partial(F.scaled_dot_product_attention, attn_mask=mask.log()))
    return list(out[0].split(counts))


def _run(block: Block, x: Tensor, attend: Callable[..., Tensor]) -> Tensor:
    """Run timm's block on tokens (B, L, C) with another attention."""
    attention = block.attn
    qkv = attention.qkv(block.norm1(x)).unflatten(-1, (3, attention.num_heads, -1))
    out = attend(*qkv.permute(2, 0, 3, 1, 4)).transpose(1, 2).flatten(2)
    x = x + attention.proj(out)
    return x + block.mlp(block.norm2(x))
