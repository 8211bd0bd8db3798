import multiprocessing
import os

import pytest
import torch
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import (
    metrics_of_ranks,
    product_scores,
    rank_counts,
    retrieval_metrics,
    score_matrix,
    score_ranks,
)
from mmaction_centerclip.models import (
    TextConditionedPoolingHead,
    TightTransformerHead,
    WeightedTokenInteractionHead,
)
from mmaction_centerclip.models.backbones import TextFeatures

COUNTS = [3, 1, 0, 4, 2, 1, 5, 1, 1, 2, 3]
SIZES = [1, 7, 20, 10**6]
HEADS = dict(pairs=WeightedTokenInteractionHead, xpool=TextConditionedPoolingHead,
             tight=TightTransformerHead)
KINDS = ['products', *HEADS]


def problem(kind):
    """A scorer, features of 23 texts and 11 videos, and whose they are.

    Video 4 is video 7, text 5 is text 9: these tie with every other.
    """
    torch.manual_seed(0)
    owner = torch.arange(len(COUNTS)).repeat_interleave(torch.tensor(COUNTS))
    if kind == 'products':
        video = F.normalize(torch.randn(11, 6), dim=1)
        text = F.normalize(torch.randn(23, 6) + video[owner], dim=1)
        text, video = dict(text=text), dict(video=video)
        scorer = product_scores
    else:
        head = HEADS[kind](embed_dims=6).eval()
        with torch.no_grad():
            video = head.video_features(torch.randn(11, 4, 6), torch.rand(11, 4) > .3)
            text = head.text_features(TextFeatures(
                torch.randn(23, 6), torch.randn(23, 5, 6), torch.rand(23, 5) > .3))
        scorer = head.double().similarity
    for x in video.values():
        x[4] = x[7]
    for x in text.values():
        x[5] = x[9]
    return scorer, text, video, owner


def double(features):
    return {k: x.double() if x.is_floating_point() else x
            for k, x in features.items()}


def whole(kind):
    """The matrix at once."""
    scorer, text, video, _ = problem(kind)
    with torch.no_grad():
        return scorer(double(text), double(video)).float()


def oracle(kind):
    return retrieval_metrics(whole(kind), problem(kind)[-1])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('max_pairs', SIZES)
def test_chunks_equal_the_full_matrix(kind, max_pairs):
    scorer, text, video, owner = problem(kind)
    expected = whole(kind)
    options = dict(max_pairs=max_pairs, dtype=torch.float64)
    matrix = score_matrix(scorer, text, video, **options)
    assert torch.equal(matrix, expected)
    assert torch.equal(matrix[:, 4], matrix[:, 7])
    assert torch.equal(matrix[5], matrix[9])
    ranks = score_ranks(scorer, text, video, owner, **options)
    for direction, counts in rank_counts(expected, owner).items():
        for a, b in zip(ranks[direction], counts):
            assert torch.equal(a, b)
    assert metrics_of_ranks(ranks) == oracle(kind)


def test_never_more_pairs_than_asked_for():
    seen = []

    def scorer(text, video):
        seen.append(len(text['text']) * len(video['video']))
        return product_scores(text, video)

    _, text, video, owner = problem('products')
    for max_pairs in SIZES:
        seen.clear()
        score_ranks(scorer, text, video, owner, max_pairs)
        assert max(seen) <= max_pairs


def worker(rank, world_size, init, queue):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank),
                      WORLD_SIZE=str(world_size))
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{init}', rank=rank, world_size=world_size)
    results = []
    for kind in KINDS:
        scorer, text, video, owner = problem(kind)
        for max_pairs in SIZES:
            options = dict(max_pairs=max_pairs, dtype=torch.float64)
            results.append((kind, metrics_of_ranks(
                score_ranks(scorer, text, video, owner, **options)),
                score_matrix(scorer, text, video, **options).numpy()))
    try:
        broken = dict(text=torch.full((23, 6), torch.nan))
        score_ranks(product_scores, broken, problem('products')[2], owner, 40)
    except InputError as error:
        results.append(str(error))
    queue.put((rank, results))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize('world_size', [2, 3])
def test_processes_equal_one_exactly(world_size, tmp_path):
    context = multiprocessing.get_context('spawn')
    queue = context.Queue()
    processes = [
        context.Process(target=worker, args=(r, world_size, tmp_path / 'init', queue))
        for r in range(world_size)
    ]
    for process in processes:
        process.start()
    answers = dict(queue.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    assert sorted(answers) == list(range(world_size))
    expected = {kind: oracle(kind) for kind in KINDS}
    matrices = {}
    for *results, error in answers.values():
        assert 'not finite' in error
        for i, (kind, metrics, matrix) in enumerate(results):
            assert metrics == expected[kind]
            assert (matrices.setdefault(i, matrix) == matrix).all()


def test_bad_input_is_named():
    scorer, text, video, owner = problem('products')
    with pytest.raises(InputError, match='max_pairs must be positive, got 0'):
        score_ranks(scorer, text, video, owner, max_pairs=0)
    text['text'][9, 3] = torch.nan
    with pytest.raises(InputError, match='not finite.*for text 9 and video 0'):
        score_ranks(scorer, text, video, owner, max_pairs=40)
