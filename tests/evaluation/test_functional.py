import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from mmaction_centerclip.evaluation import retrieval_metrics

from ..paths import golden_files, load
from ..reference import retrieval as reference


@settings(max_examples=60, deadline=None)
@given(
    videos=st.integers(1, 5),
    extra=st.lists(st.integers(0, 4), max_size=4),
    data=st.data())
def test_ties_count_by_their_expectation_over_all_orders(videos, extra, data):
    # Few levels: most similarities tie. Some videos may have no caption.
    video_of_text = [v % videos for v in extra] or [0]
    scores = data.draw(
        st.lists(
            st.lists(st.integers(0, 2), min_size=videos, max_size=videos),
            min_size=len(video_of_text),
            max_size=len(video_of_text)))
    got = retrieval_metrics(
        torch.tensor(scores, dtype=torch.float32), torch.tensor(video_of_text))
    expected = reference.retrieval_metrics(scores, video_of_text)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name] == pytest.approx(value), name


@pytest.mark.parametrize(
    'path',
    golden_files('metrics_one_to_one*.npz') +
    golden_files('metrics_multi_caption*.npz'),
    ids=lambda path: path.stem)
def test_equals_the_authors_where_nothing_ties(path):
    data = load(path)
    if 'ties' in path.stem or 'nan' in path.stem:
        pytest.skip('the authors count ties and NaN in other ways')
    similarity = torch.from_numpy(data['sim'])
    ends = data.get('cut_off_points')
    if ends is None:
        video_of_text = torch.arange(len(similarity))
    else:
        counts = np.diff(ends, prepend=0)
        video_of_text = torch.arange(len(ends)).repeat_interleave(
            torch.from_numpy(counts))
    got = retrieval_metrics(similarity, video_of_text, topk=(1, 5, 10, 50))
    for direction in ('t2v', 'v2t'):
        for k in (1, 5, 10, 50):
            assert got[f'{direction}/R{k}'] == pytest.approx(
                data[f'{direction}_R{k}'], abs=1e-4)
        # Their several-captions path takes the lower of two middle ranks.
        median = data.get(f'{direction}_MedR_true_median',
                          data[f'{direction}_MedR'])
        assert got[f'{direction}/MdR'] == median
        assert got[f'{direction}/MnR'] == pytest.approx(
            data[f'{direction}_MeanR'], rel=1e-6)


def test_a_constant_similarity_scores_chance():
    got = retrieval_metrics(torch.zeros(30, 10),
                            torch.arange(10).repeat_interleave(3))
    for direction in ('t2v', 'v2t'):
        assert got[f'{direction}/R1'] == pytest.approx(10)
        assert got[f'{direction}/R5'] == pytest.approx(50)
        assert got[f'{direction}/R10'] == pytest.approx(100)
        assert got[f'{direction}/MnR'] == pytest.approx(5.5)


def test_a_perfect_retriever_with_many_captions_scores_100():
    video_of_text = torch.arange(50).repeat_interleave(41)
    got = retrieval_metrics(torch.eye(50)[video_of_text], video_of_text)
    assert got['t2v/R1'] == got['v2t/R1'] == 100
    assert got['t2v/MdR'] == got['v2t/MnR'] == 1


@pytest.mark.parametrize('similarity, video_of_text, message', [
    (torch.zeros(3), [0, 0, 0], r'\(texts, videos\), got \(3,\)'),
    (torch.zeros(3, 2), [0, 1], r'shape \(3, \).* got \(2,\)'),
    (torch.zeros(2, 2), [0, 2], 'from 0 to 1, got 0 to 2'),
    (torch.tensor([[0., 1.], [torch.nan, 0.]]), [0, 1],
     r'not finite.* nan at \(1, 0\)'),
    (torch.tensor([[0., torch.inf]]), [0], r'inf at \(0, 1\)'),
])
def test_bad_input_is_named(similarity, video_of_text, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(similarity, torch.tensor(video_of_text))
