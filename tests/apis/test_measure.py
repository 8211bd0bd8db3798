import pytest
import torch
from torch import nn

from mmaction_centerclip.apis import count_macs


@pytest.mark.parametrize('training', [True, False])
def test_attention_counts_on_every_path(training):
    """Five tokens: four projections of them, and two products of attention."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True).train(training)
    x = torch.randn(3, 5, 8)
    macs = count_macs(lambda: attention(x, x, x, need_weights=False))
    assert macs == 3 * (4 * 5 * 8 * 8 + 2 * 5 * 5 * 8)
