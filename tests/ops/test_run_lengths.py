"""Run lengths by counting them one by one."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import pack, run_lengths


def count_runs(tokens, threshold, real):
    """Run lengths (F, N) of one video, by following each patch."""
    frames, patches, _ = tokens.shape
    lengths = torch.zeros(frames, patches, dtype=torch.int64)
    for n in range(patches):
        start = None
        for t in range(frames):
            if not real[t]:
                start = None
                continue
            before = tokens[t - 1, n]
            change = (tokens[t, n] - before).norm()
            if start is None or change > threshold * before.norm():
                start = t
            lengths[start, n] += 1
    return lengths


@given(st.integers(0, 999), st.integers(1, 6), st.sampled_from([0., 0.3, 1.]),
       st.booleans())
@settings(deadline=None)
def test_runs_are_counted(seed, frames, threshold, masked):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 3, (2, frames, 3, 2), generator=generator).double()
    real = torch.rand(2, frames, generator=generator) < 0.7
    got = run_lengths(tokens, threshold, real if masked else None)
    for b in range(2):
        mask = real[b] if masked else [True] * frames
        assert torch.equal(got[b], count_runs(tokens[b], threshold, mask))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(dtype):
    tokens = (300 * torch.randn(2, 4, 3, 64)).to(dtype)  # whose squares overflow
    assert torch.equal(run_lengths(tokens, 1.4), run_lengths(tokens.float(), 1.4))


@given(st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=1,
                max_size=3).filter(lambda rows: any(map(any, rows))))
@settings(deadline=None)
def test_packing_keeps_all_that_count(rows):
    size = torch.tensor(rows)
    index = pack(size)
    fullest = max(sum(s > 0 for s in row) for row in rows)
    assert index.shape == (len(rows), fullest)
    for row, kept in zip(rows, index.tolist()):
        wanted = [i for i, s in enumerate(row) if s]
        assert kept[:len(wanted)] == wanted and len(set(kept)) == fullest


@pytest.mark.parametrize('call, message', [
    (lambda: run_lengths(torch.zeros(1, 2, 3, 4), -0.1), 'threshold .* got -0.1'),
    (lambda: run_lengths(torch.zeros(1, 2, 3), 0.1), r'\(B, F, N, C\), got'),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
