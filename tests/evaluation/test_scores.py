import os

import pytest
import torch
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import (
    RetrievalFeatures,
    Scorer,
    Scores,
    choose_scorer,
    product_scores,
    retrieval_metrics,
    score_matrix,
)
from mmaction_centerclip.models import (
    TextConditionedPoolingHead,
    TightTransformerHead,
    WeightedTokenInteractionHead,
)
from mmaction_centerclip.models.backbones import TextFeatures

from ..processes import SERVER

COUNTS = [3, 1, 0, 4, 2, 1, 5, 1, 1, 2, 3]
SIZES = [1, 7, 20, 10**6]
HEADS = dict(pairs=WeightedTokenInteractionHead, xpool=TextConditionedPoolingHead,
             tight=TightTransformerHead)
KINDS = ['products', *HEADS]


def problem(kind):
    """A function, features of 23 texts and 11 videos, and the texts' videos.

    Video 4 is video 7, text 5 is text 9: these tie with every other.
    """
    torch.manual_seed(0)
    video_of_text = torch.arange(len(COUNTS)).repeat_interleave(torch.tensor(COUNTS))
    if kind == 'products':
        video = F.normalize(torch.randn(11, 6), dim=1)
        text = F.normalize(torch.randn(23, 6) + video[video_of_text], dim=1)
        text, video = dict(text=text), dict(video=video)
        function = product_scores
    else:
        head = HEADS[kind](embed_dims=6).eval()
        with torch.no_grad():
            video = head.video_features(torch.randn(11, 4, 6), torch.rand(11, 4) > .3)
            text = head.text_features(TextFeatures(
                torch.randn(23, 6), torch.randn(23, 5, 6), torch.rand(23, 5) > .3))
        function = head.double().similarity
    for x in video.values():
        x[4] = x[7]
    for x in text.values():
        x[5] = x[9]
    return function, text, video, video_of_text


def double(features):
    return {k: x.double() if x.is_floating_point() else x
            for k, x in features.items()}


def whole(kind):
    """The matrix at once."""
    function, text, video, _ = problem(kind)
    with torch.no_grad():
        return function(double(text), double(video)).float()


def scores_of(scorer, text, video, video_of_text):
    """Scores that know no matrix."""
    return Scores(RetrievalFeatures(video, text, video_of_text, range(11), range(23)),
                  scorer)


def oracle(kind):
    return retrieval_metrics(whole(kind), problem(kind)[-1])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('max_pairs', SIZES)
def test_chunks_equal_the_full_matrix(kind, max_pairs):
    function, text, video, video_of_text = problem(kind)
    expected = whole(kind)
    scorer = Scorer(function, dtype=torch.float64, max_pairs=max_pairs)
    matrix = score_matrix(scorer, text, video)
    assert torch.equal(matrix, expected)
    assert torch.equal(matrix[:, 4], matrix[:, 7])
    assert torch.equal(matrix[5], matrix[9])
    scores = scores_of(scorer, text, video, video_of_text)
    known = scores.replace(t2v=expected, v2t=expected)
    for direction, pair in known.counts.items():
        for a, b in zip(scores.counts[direction], pair):
            assert torch.equal(a, b)
    assert 'matrices' not in vars(scores)
    assert scores.figures() == known.figures() == oracle(kind)


def test_never_more_pairs_than_asked_for():
    seen = []

    def function(text, video):
        seen.append(len(text['text']) * len(video['video']))
        return product_scores(text, video)

    _, text, video, video_of_text = problem('products')
    for max_pairs in SIZES:
        seen.clear()
        assert scores_of(
            Scorer(function, max_pairs=max_pairs), text, video, video_of_text).counts
        assert max(seen) <= max_pairs


def worker(rank, world_size, init, queue):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank),
                      WORLD_SIZE=str(world_size))
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{init}', rank=rank, world_size=world_size)
    results = []
    for kind in KINDS:
        function, text, video, video_of_text = problem(kind)
        for max_pairs in SIZES:
            scorer = Scorer(function, dtype=torch.float64, max_pairs=max_pairs)
            results.append((
                kind, scores_of(scorer, text, video, video_of_text).figures(),
                score_matrix(scorer, text, video).numpy()))
    try:
        broken = dict(text=torch.full((23, 6), torch.nan))
        scores_of(Scorer(product_scores, max_pairs=40), broken,
                  problem('products')[2], video_of_text).figures()
    except InputError as error:
        results.append(str(error))
    queue.put((rank, results))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_equal_one_exactly(tmp_path, world_size=3):
    queue = SERVER.Queue()
    processes = [
        SERVER.Process(target=worker, args=(r, world_size, tmp_path / 'init', queue))
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
    function, text, video, video_of_text = problem('products')
    with pytest.raises(InputError, match='max_pairs must be .* got 0'):
        Scorer(function, max_pairs=0)
    text['text'][9, 3] = torch.nan
    with pytest.raises(InputError, match=r'not finite.* nan at \(9, 0\)'):
        scores_of(
            Scorer(function, max_pairs=40), text, video, video_of_text).figures()


def features_of(kind, **options):
    _, text, video, video_of_text = problem(kind)
    return RetrievalFeatures(video, text, video_of_text, range(11), range(23),
                             **options)


def test_products_are_compared_in_float64_without_a_head():
    head = TextConditionedPoolingHead(embed_dims=6)
    scorer = choose_scorer(
        features_of('products'), head, dtype=torch.float32, max_pairs=7)
    assert scorer == Scorer(
        product_scores, head.logit_scale.device, torch.float64, max_pairs=7)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_head_at_hand_compares_and_stays_as_it_is(dtype):
    torch.manual_seed(0)
    head = WeightedTokenInteractionHead(embed_dims=6).eval()
    f = features_of('pairs')
    matrix = score_matrix(choose_scorer(f, head, dtype=dtype), f.text, f.video)
    assert head.logit_scale.dtype == torch.float32
    one = head.to(dtype).similarity(*(
        {k: x.to(dtype) if x.is_floating_point() else x for k, x in part.items()}
        for part in (f.text, f.video)))
    torch.testing.assert_close(matrix, one.detach().float())
    known = f._replace(head=dict(
        config=dict(type='WeightedTokenInteractionHead', embed_dims=6),
        state_dict=head.state_dict()))
    again = score_matrix(choose_scorer(known, dtype=dtype), f.text, f.video)
    assert torch.equal(again, matrix)
