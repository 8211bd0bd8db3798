"""Failures of an evaluation, beside an obvious search."""
import pytest
import torch

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import retrieval_metrics
from mmaction_centerclip.visualization import confusable_captions, worst_queries


@pytest.fixture(params=[False, True], ids=['distinct', 'ties'])
def matrix(request):
    """Similarities of 40 captions of 12 videos, one of which has none."""
    own = torch.randint(0, 11, (40, )).sort().values
    similarity = torch.randn(40, 12)
    if request.param:
        similarity = similarity.round()
    return similarity, own


def rank_of(scores, own):
    """The mean of the places that a video has in any order of its ties."""
    places = [place for place, score in enumerate(
        sorted(scores, reverse=True), start=1) if score == scores[own]]
    return sum(places) / len(places)


def test_worst_queries(matrix):
    similarity, own = matrix
    ranks = [rank_of(row, video) for row, video in zip(
        similarity.tolist(), own.tolist())]
    found = worst_queries(similarity, own, 40, topk=3)
    assert len(found) == sum(rank > 1 for rank in ranks)
    assert [x.rank for x in found] == sorted(
        (rank for rank in ranks if rank > 1), reverse=True)
    for failure in found:
        assert failure.rank == ranks[failure.text]
        scores = similarity[failure.text].tolist()
        order = sorted(range(12), key=lambda video: -scores[video])
        assert failure.videos == order[:3]
    assert worst_queries(similarity, own, 4, topk=3) == found[:4]
    # The ranks are those of the evaluation.
    total = sum(x.rank for x in found) + 40 - len(found)
    assert total / 40 == pytest.approx(retrieval_metrics(similarity, own)['t2v/MnR'])


def test_confusable_captions(matrix):
    similarity, own = matrix
    pairs = {}
    for text, video in enumerate(own.tolist()):
        scores = similarity[text].tolist()
        others = [v for v in range(12) if v != video]
        first = max(others, key=lambda v: scores[v])
        rivals = [t for t in range(40) if own[t] == first]
        if scores[first] < scores[video] or not rivals:
            continue
        difference, rival = min(
            ((similarity[t] - similarity[text]).square().mean().sqrt().item(), t)
            for t in rivals)
        pairs[frozenset((text, rival))] = difference
    found = confusable_captions(similarity, own, 100)
    assert {frozenset(pair.texts) for pair in found} == set(pairs)
    assert [x.difference for x in found] == pytest.approx(sorted(pairs.values()))
    for pair in found:
        assert pair.difference == pytest.approx(pairs[frozenset(pair.texts)])
        assert pair.videos == tuple(own[list(pair.texts)].tolist())
        assert similarity[pair.texts[0], pair.videos[1]] >= similarity[
            pair.texts[0], pair.videos[0]]
    assert confusable_captions(similarity, own, 3) == found[:3]


def test_a_perfect_evaluation_has_none():
    assert worst_queries(torch.eye(4), torch.arange(4), 3) == []
    assert confusable_captions(torch.eye(4), torch.arange(4), 3) == []
    assert confusable_captions(torch.ones(2, 1), torch.zeros(2), 3) == []


@pytest.mark.parametrize('search', [worst_queries, confusable_captions])
def test_bad_input(search):
    with pytest.raises(InputError, match='count must be a positive integer'):
        search(torch.eye(4), torch.arange(4), 0)
    with pytest.raises(InputError, match='video_of_text must be from 0 to 3'):
        search(torch.eye(4), torch.arange(1, 5), 1)
    with pytest.raises(InputError, match='1 values that are not finite'):
        search(torch.tensor([[0, torch.nan]]), torch.tensor([0]), 1)
