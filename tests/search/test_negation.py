"""Queries without what is excluded."""
import numpy as np
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search.negation import exclude_vectors


def unit(*values):
    return np.array(values, np.float32) / np.linalg.norm(values)


def test_one_is_taken_out_as_the_paper_says():
    a, b = unit(3, 1, 2, 0), unit(1, 1, 0, 1)
    expected = a - (a @ b) * b
    np.testing.assert_allclose(exclude_vectors(a, b[None]),
                               expected / np.linalg.norm(expected), atol=1e-6)


def test_the_rest_is_orthogonal_to_all_and_of_unit_length():
    rng = np.random.default_rng(0)
    query, excluded = rng.standard_normal(16), rng.standard_normal((3, 16))
    excluded = np.concatenate([excluded, excluded[:1]])  # One twice.
    left = exclude_vectors(query, excluded)
    np.testing.assert_allclose(excluded @ left, 0, atol=1e-6)
    assert np.linalg.norm(left) == pytest.approx(1) and left @ query > 0


def test_rows_with_what_is_excluded_fall_behind():
    # All alike in part, as features of CLIP are: dog, snow and cat.
    common, dog, snow, cat = np.eye(4)
    text = {'dog': unit(*(2 * common + dog)), 'snow': unit(*(2 * common + snow))}
    rows = np.array([unit(*(2 * common + dog + snow)), unit(*(2 * common + dog)),
                     unit(*(2 * common + cat)), unit(*(2 * common + snow))])
    order = np.argsort(-rows @ exclude_vectors(text['dog'], text['snow'][None]))
    assert order.tolist()[0] == 1 and order.tolist()[-1] == 3


def test_nothing_is_left():
    query = unit(1, 2)
    for excluded in ([unit(1, 2)], np.eye(2, dtype=np.float32)):
        with pytest.raises(InputError, match='nothing is left'):
            exclude_vectors(query, np.array(excluded))
