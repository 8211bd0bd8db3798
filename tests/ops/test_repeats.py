import torch
from hypothesis import given
from hypothesis import strategies as st

from mmaction_centerclip.ops import repeated_pairs

numbers = st.integers(-2, 3)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_pairs_that_share_a_known_number(pairs):
    found = repeated_pairs(torch.tensor(pairs))
    for i, one in enumerate(pairs):
        for j, other in enumerate(pairs):
            assert found[i, j] == (i != j and any(
                a == b >= 0 for a, b in zip(one, other)))
