"""Positions beyond those that a text tower was trained with."""
import pytest
import torch

from mmaction_centerclip.clip.weights import longest_context, stretch_positions
from mmaction_centerclip.errors import InputError


def stretch(rows):
    """Row by row; kept is what stands in the first 20."""
    new = rows[:20]
    for i in range(20, len(rows)):
        for quarter in range(4):
            if i + 1 < len(rows):
                near, next_one = rows[i], rows[i + 1]
                new.append([(a * (4 - quarter) + b * quarter) / 4
                            for a, b in zip(near, next_one)])
            else:  # beyond the last, as far as from the one before it
                near, last = rows[i - 1], rows[i]
                new.append([b + (b - a) * quarter / 4 for a, b in zip(near, last)])
    return new


@pytest.mark.parametrize('length', [22, 23, 77])
def test_first_ones_are_kept_and_others_interpolated(length):
    positions = torch.randn(length, 3)
    found = stretch_positions(positions)
    assert len(found) == longest_context(length)
    torch.testing.assert_close(found, torch.tensor(stretch(positions.tolist())))
    assert torch.equal(found[:21], positions[:21])
    assert torch.equal(found[20::4], positions[20:])


def test_too_few_stay_as_they_are():
    assert [longest_context(n) for n in (16, 20, 21, 22, 77)] == [16, 20, 21, 28, 248]
    with pytest.raises(InputError, match='from 22 on, got 21'):
        stretch_positions(torch.ones(21, 2))
