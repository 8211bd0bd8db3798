import itertools
import math
import statistics

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mmaction_centerclip.evaluation import (
    expected_ap_and_ndcg,
    functional,
    relevance_metrics,
    retrieval_metrics,
)


def orders(scores):
    """Every order of the candidates that the scores allow."""
    levels = sorted(set(scores), reverse=True)
    groups = [[i for i, s in enumerate(scores) if s == level]
              for level in levels]
    for parts in itertools.product(*map(itertools.permutations, groups)):
        yield list(itertools.chain(*parts))


def average_precision(hits):
    found = [place for place, hit in enumerate(hits, 1) if hit]
    return statistics.fmean(n / place for n, place in enumerate(found, 1))


def ndcg(hits):
    dcg, ideal = (sum(1 / math.log2(place + 1)
                      for place, hit in enumerate(row, 1) if hit)
                  for row in (hits, sorted(hits, reverse=True)))
    return dcg / ideal


def brute_force(scores, relevant):
    hits = [[relevant[i] for i in order] for order in orders(scores)]
    return (statistics.fmean(map(average_precision, hits)),
            statistics.fmean(map(ndcg, hits)))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1,
                max_size=6))
def test_ties_count_by_their_expectation_over_all_orders(candidates):
    scores, relevant = map(list, zip(*candidates))
    relevant[0] = relevant[0] or not any(relevant)
    got = expected_ap_and_ndcg(torch.tensor([scores]), torch.tensor([relevant]))
    for value, expected in zip(got, brute_force(scores, relevant)):
        assert value.item() == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(
    videos=st.integers(1, 4),
    video_of_text=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    data=st.data())
def test_both_directions_average_over_their_queries(videos, video_of_text, data):
    # Some videos may have no caption: candidates, and no queries.
    video_of_text = [own % videos for own in video_of_text]
    row = st.lists(st.integers(0, 2), min_size=videos, max_size=videos)
    scores = data.draw(
        st.lists(row, min_size=len(video_of_text), max_size=len(video_of_text)))
    got = relevance_metrics(torch.tensor(scores).float(), torch.tensor(video_of_text))
    queries = dict(
        t2v=[(row, [v == own for v in range(videos)])
             for row, own in zip(scores, video_of_text)],
        v2t=[([row[v] for row in scores], [own == v for own in video_of_text])
             for v in sorted(set(video_of_text))])
    assert len(got) == 4
    for direction, pairs in queries.items():
        values = zip(*(brute_force(*pair) for pair in pairs))
        for name, value in zip(('mAP', 'NDCG'), values):
            assert got[f'{direction}/{name}'] == pytest.approx(
                100 * statistics.fmean(value))


@pytest.fixture
def several_captions():
    video_of_text = torch.arange(30).repeat_interleave(4)[torch.randperm(120)]
    # Positive, as torchmetrics drops what scores 0 or less from its mAP. The
    # last video has no caption.
    similarity = torch.rand(120, 31, dtype=torch.float64)
    similarity[torch.arange(120), video_of_text] += .3
    assert len(similarity.unique()) == similarity.numel()
    return similarity, video_of_text


def test_equals_torchmetrics_where_nothing_ties(several_captions):
    torchmetrics = pytest.importorskip('torchmetrics.retrieval')
    similarity, video_of_text = several_captions
    relevant = video_of_text[:, None] == torch.arange(31)
    got = relevance_metrics(similarity, video_of_text)
    for name, oracle in (('mAP', torchmetrics.RetrievalMAP),
                         ('NDCG', torchmetrics.RetrievalNormalizedDCG)):
        for direction, scores, target in (
                ('t2v', similarity, relevant),
                ('v2t', similarity.T[:30], relevant.T[:30])):
            queries = torch.arange(len(scores))[:, None].expand_as(scores)
            expected = oracle()(
                scores.flatten(), target.flatten(), indexes=queries.flatten())
            assert got[f'{direction}/{name}'] == pytest.approx(
                100 * expected.item(), rel=1e-5)


def test_torchmetrics_agrees_on_the_ndcg_of_ties():
    torchmetrics = pytest.importorskip('torchmetrics.retrieval')
    similarity = torch.randint(1, 5, (40, 10)).float()
    video_of_text = torch.arange(10).repeat(4)
    queries = torch.arange(40)[:, None].expand_as(similarity)
    target = video_of_text[:, None] == torch.arange(10)
    expected = torchmetrics.RetrievalNormalizedDCG()(
        similarity.flatten(), target.flatten(), indexes=queries.flatten())
    assert relevance_metrics(similarity, video_of_text)['t2v/NDCG'] == pytest.approx(
        100 * expected.item(), rel=1e-5)


@pytest.mark.parametrize('elements', [1, 100, 1000])
def test_the_chunks_do_not_matter(several_captions, monkeypatch, elements):
    expected = relevance_metrics(*several_captions)
    monkeypatch.setattr(functional, 'CHUNK_ELEMENTS', elements)
    assert relevance_metrics(*several_captions) == pytest.approx(expected)


def test_a_perfect_retriever_scores_100():
    video_of_text = torch.arange(50).repeat_interleave(41)
    got = relevance_metrics(torch.eye(50)[video_of_text], video_of_text)
    assert got == pytest.approx(dict.fromkeys(got, 100))


def test_one_relevant_candidate_scores_its_reciprocal_rank():
    similarity = torch.tensor([[.3, .2, .1], [.3, .3, .1], [.1, .1, .1]])
    got = relevance_metrics(similarity, torch.tensor([1, 0, 2]))
    harmonic = 1 + 1 / 2 + 1 / 3
    assert got['t2v/mAP'] == pytest.approx(
        100 / 3 * (1 / 2 + (1 + 1 / 2) / 2 + harmonic / 3))


def test_bad_input_is_named_as_by_the_recalls():
    for similarity, video_of_text in ((torch.zeros(3, 2), [0, 1]),
                               (torch.zeros(2, 2), [0, 2]),
                               (torch.tensor([[torch.nan]]), [0])):
        messages = []
        for function in (retrieval_metrics, relevance_metrics):
            with pytest.raises(ValueError) as error:
                function(similarity, torch.tensor(video_of_text))
            messages.append(str(error.value))
        assert messages[0] == messages[1]
