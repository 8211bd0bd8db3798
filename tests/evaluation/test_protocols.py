import pytest

from mmaction_centerclip.evaluation.evaluate import (
    PROTOCOLS,
    describe_protocol,
    protocol_of,
)


@pytest.mark.parametrize('counts, paragraph, name', [
    ([1] * 3, False, 'single'),
    ([1, 0, 1], False, 'single'),
    ([1, 2, 1], False, 'multiple'),
    ([1] * 3, True, 'paragraph'),
    ([1, 2, 0], True, 'paragraphs'),
])
def test_the_counts_tell_the_protocol(counts, paragraph, name):
    assert protocol_of(counts, paragraph) == name
    assert describe_protocol(counts, paragraph).startswith(PROTOCOLS[name][0])


def test_the_description_counts():
    assert ': 1,000 captions, 1,000 videos; each caption ranks' in (
        describe_protocol([1] * 1000))
    msvd = describe_protocol([42] * 293 + [41] * 377)
    assert ': 27,763 captions, 670 videos; text-to-video' in msvd
    assert 'scoring its best caption' in msvd
    assert ': 1 paragraph, 1 video; all sentences' in describe_protocol([1], True)
    assert describe_protocol([2, 0, 0]).endswith(
        '; without a caption and no query: 2 videos')


@pytest.mark.parametrize('counts', [[], [1, -1], [0, 0]])
def test_bad_counts_are_named(counts):
    with pytest.raises(ValueError, match='counts must be of captions'):
        describe_protocol(counts)
