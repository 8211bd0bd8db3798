import pickle

import pytest

from mmaction_centerclip.errors import InputError, InputErrors, Problems, named_errors


def collect(texts):
    with Problems() as problems:
        for number, text in enumerate(texts):
            with problems.of(f'line {number}'):
                if text:
                    raise InputError(text)


def test_one_problem_is_an_error_as_any_other():
    collect(['', ''])
    with pytest.raises(InputError, match='^line 1: bad$') as caught:
        collect(['', 'bad'])
    assert type(caught.value) is InputError


def test_the_first_of_many_problems_are_told():
    with pytest.raises(InputErrors) as caught:
        collect(f'bad {i}\nreally' for i in range(43))
    lines = str(caught.value).split('\n')
    assert lines[0] == '43 problems:' and lines[-1] == '  and 23 more'
    assert lines[1:-1] == [f'  line {i}: bad {i} really' for i in range(20)]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_problems_of_parts_are_problems_of_the_whole():
    with pytest.raises(InputErrors) as caught:
        with named_errors('a'), Problems() as problems:
            with problems.of('b'):
                collect(['x', '', 'y'])
            with problems.of():
                collect(['z'])
            raise InputError('and no more can be read')
    assert caught.value.problems == ['a: b: line 0: x', 'a: b: line 2: y',
                                     'a: line 0: z', 'a: and no more can be read']


def test_a_bug_is_no_problem():
    with pytest.raises(ZeroDivisionError):
        with Problems() as problems:
            problems.add('bad')
            raise ZeroDivisionError
