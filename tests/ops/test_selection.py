"""Scores of tokens, and the tokens with the largest ones."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import (
    largest,
    largest_share,
    norms,
    novelty,
    rarity,
    similarity_to,
)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.data())
@settings(deadline=None)
def test_largest_by_sorting(scores, data):
    count = data.draw(st.integers(1, len(scores)))
    valid = data.draw(st.lists(st.booleans(), min_size=len(scores),
                               max_size=len(scores)))
    tensor = torch.tensor([scores]).float()
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    assert largest(tensor, count).tolist() == [sorted(order[:count])]
    order.sort(key=lambda i: not valid[i])
    got = largest(tensor, count, torch.tensor([valid]))
    assert got.tolist() == [sorted(order[:count])]


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=12, max_size=12),
       st.sampled_from([1, 2, 3]), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_largest_share_by_sorting(tokens, segments, share):
    length = 6 // segments  # of two videos
    scores, valid = (torch.tensor(x).view(-1, length) for x in zip(*tokens))
    got = largest_share(scores.float(), share, segments, valid)
    expected = []
    for video in range(2):
        ranked = []
        for row in range(video * segments, (video + 1) * segments):
            worth = [scores[row, i].item() if valid[row, i] else -torch.inf
                     for i in range(length)]
            order = sorted(range(length), key=lambda i: -worth[i])
            ranked += [(-worth[i] if rank else -torch.inf, rank, row, i)
                       for rank, i in enumerate(order)]
        real = int(valid[video * segments:(video + 1) * segments].sum())
        count = max(segments, int(torch.tensor(real).mul(share).round()))
        kept = sorted(ranked)[:count]
        expected += [sorted(i for *_, r, i in kept if r == row)
                     for row in range(video * segments, (video + 1) * segments)]
    assert [[i for i in row if i >= 0] for row in got.tolist()] == expected
    assert got.shape[1] == max(map(len, expected))
    assert all(row == sorted(row, key=lambda i: (i < 0, i)) for row in got.tolist())


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_scores_by_the_definition(dtype):
    tokens = torch.randn(2, 6, 5).to(dtype)
    exact = tokens.float()
    torch.testing.assert_close(norms(tokens), exact.square().sum(-1).sqrt())
    got = similarity_to(tokens, tokens.flip(1))
    assert got.dtype == torch.float32
    for b in range(2):
        for i in range(6):
            x, y = exact[b, i], exact[b, 5 - i]
            torch.testing.assert_close(got[b, i], x @ y / x.norm() / y.norm())


@pytest.mark.parametrize('masked', [False, True])
def test_rarity_by_the_definition(masked):
    tokens = torch.randn(2, 6, 4)
    valid = torch.tensor([[1, 1, 1, 0, 0, 1], [0] * 6]).bool()
    got = rarity(tokens.half(), valid if masked else None)
    assert got.dtype == torch.float32
    for row, found, real in zip(tokens.half().float(), got, valid):
        mean = (row[real] if masked and real.any() else row).mean(0)
        torch.testing.assert_close(found, torch.stack([(x - mean).norm() for x in row]))


@pytest.mark.parametrize('masked', [False, True])
def test_novelty_by_the_definition(masked):
    tokens = torch.randn(2, 4 * 3, 5)
    valid = torch.tensor([1, 0, 1, 1]).bool().repeat_interleave(3).expand(2, -1)
    got = novelty(tokens, 4, valid if masked else None)
    for b in range(2):
        for t in range(4):
            for n in range(3):
                before = [tokens[b, 3 * (t - 1) + m] for m in range(3)] if t else []
                if masked and t == 2:
                    before = []
                expected = min((1 - F.cosine_similarity(tokens[b, 3 * t + n], x, dim=0)
                                for x in before), default=torch.tensor(torch.inf))
                torch.testing.assert_close(got[b, 3 * t + n], expected)
    still = tokens[:, :3].repeat(1, 4, 1)
    assert (novelty(still, 4)[:, 3:] < 1e-6).all()


def test_bad_input_is_named():
    with pytest.raises(InputError, match='from 1 to the 3 tokens .* got 4'):
        largest(torch.zeros(1, 3), 4)
