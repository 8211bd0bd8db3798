"""Cuts against all cuts tried one by one; run lengths counted one by one."""
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import cut_at_changes, frame_changes, pack, run_lengths


def all_cuts(frames, segments, shortest, longest):
    lengths = range(shortest, longest + 1)
    return [x for x in itertools.product(lengths, repeat=segments) if sum(x) == frames]


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3),
       st.integers(1, 9))
@settings(deadline=None)
def test_cuts_are_the_best_of_all(seed, frames, segments, shortest, longest):
    changes = torch.rand(2, frames - 1, generator=torch.Generator().manual_seed(seed))
    options = all_cuts(frames, segments, shortest, longest)
    if not options:
        with pytest.raises(InputError, match=f'{frames} frames cannot be cut into '):
            cut_at_changes(changes, segments, shortest, longest)
        return
    starts, lengths = cut_at_changes(changes, segments, shortest, longest)
    for b in range(2):
        got = tuple(lengths[b].tolist())
        assert got in options
        assert starts[b].tolist() == [sum(got[:s]) for s in range(segments)]

        def worth(option):
            return sum(changes[b, sum(option[:s]) - 1].item()  # noqa: B023
                       for s in range(1, segments))

        assert worth(got) >= max(map(worth, options)) - 1e-4


def test_the_first_frames_are_cut_as_a_video_of_their_own():
    changes = torch.rand(3, 11)
    count, longest = torch.tensor([12, 7, 4]), torch.tensor([8, 4, 2])
    starts, lengths = cut_at_changes(changes, 3, 1, longest, count)
    for b in range(3):
        alone = cut_at_changes(changes[b:b + 1, :count[b] - 1], 3, 1, int(longest[b]))
        assert torch.equal(starts[b], alone[0][0])
        assert torch.equal(lengths[b], alone[1][0])


@pytest.mark.parametrize('value', [0., 0.7])
def test_a_still_video_is_cut_evenly(value):
    _, lengths = cut_at_changes(torch.full((1, 11), value), 3, 1, 8)
    assert lengths.tolist() == [[4, 4, 4]]


def test_changes_of_frames():
    tokens = torch.randn(2, 4, 3, 5)
    means = tokens.mean(2)
    got = frame_changes(tokens)
    for b in range(2):
        for t in range(3):
            x, y = means[b, t], means[b, t + 1]
            torch.testing.assert_close(got[b, t], 1 - x @ y / x.norm() / y.norm())
    assert frame_changes(tokens.half()).dtype == torch.float32
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]]).bool()
    masked = frame_changes(tokens, mask)
    assert torch.equal(masked == 0, torch.tensor([[0, 0, 1], [1, 0, 0]]).bool())
    assert torch.equal(masked[masked > 0], got[masked > 0])


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
