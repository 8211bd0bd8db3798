"""Padded and packed videos of different lengths give the same tokens."""
import pytest
import torch
from timm.models.vision_transformer import Block

from mmaction_centerclip.benchmarking.packing import (
    benchmark_packing,
    mask_block,
    pack_block,
    pad_block,
)


@pytest.mark.parametrize('way', [pad_block, pack_block, mask_block])
@torch.no_grad()
def test_every_way_counts_a_token_as_often_as_its_size(way):
    """As timm's own block does with a video's tokens repeated."""
    torch.manual_seed(0)
    block = Block(8, 2, qkv_bias=True).eval()
    sizes = [torch.tensor([1, 3]), torch.tensor([2, 1, 1, 4])]
    tokens = [torch.randn(len(size), 8) for size in sizes]
    for x, size, found in zip(tokens, sizes, way(block, tokens, sizes), strict=True):
        whole = block(x.repeat_interleave(size, dim=0)[None])[0]
        torch.testing.assert_close(found, whole[size.cumsum(0) - 1])


def test_figures():
    found = benchmark_packing([torch.ones(5).long(), torch.ones(2).long()], 8, 2, 1)
    assert (found['longest'], found['mean']) == (5, 3.5)
    assert found['packed_ratio'] == pytest.approx(found['packed'] / found['padded'])
