"""Rotary attention written token by token, beside timm's."""
import functools

import torch


@functools.cache
def angles_of(place, grid, reference, dims, xy=False, offset=0):
    """Angles by which a head's pairs of channels turn at a place of a grid.

    Half of the pairs turn with the row, half with the column, each with a
    frequency of its own (arXiv 2104.09864, Sec. 3.2.2, on two axes); places
    are counted as on the ``reference`` grid (EVA-02, arXiv 2303.11331).
    """
    row, column = divmod(place, grid[1])
    row = (row + offset) / grid[0] * reference[0]
    column = (column + offset) / grid[1] * reference[1]
    count = dims // 4
    frequencies = [10000 ** (-i / count) for i in range(count)]
    first, second = (column, row) if xy else (row, column)
    return torch.tensor([first * f for f in frequencies]
                        + [second * f for f in frequencies])


def rotate(x, angles):
    """Turn pairs of neighbouring channels of x (..., D) by angles (D / 2)."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.exp(1j * angles)).flatten(-2)


def rotary_attention(attn, x, angles):
    """Attention of timm's Eva on tokens x (B, P + K, C).

    Args:
        attn: The module, whose layers are applied.
        x: The tokens, prefix first.
        angles: For each of the B, a list of K angles (D / 2).
    """
    if attn.qkv is None:
        q, k, v = attn.q_proj(x), attn.k_proj(x), attn.v_proj(x)
    else:
        q, k, v = attn.qkv(x).chunk(3, dim=-1)
    out = torch.empty_like(v)
    for b, places in enumerate(angles):
        for head in torch.arange(x.shape[2]).chunk(attn.num_heads):
            turned = []
            for y in (q, k):
                rows = list(y[b][:, head])
                for i, angle in enumerate(places, start=len(rows) - len(places)):
                    rows[i] = rotate(rows[i], angle)
                turned.append(torch.stack(rows))
            scores = turned[0] @ turned[1].T / len(head) ** 0.5
            out[b][:, head] = scores.softmax(dim=-1) @ v[b][:, head]
    return attn.proj(attn.norm(out))
