import pytest
import torch
from mmaction.registry import METRICS
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import load_features, retrieval_metrics
from mmaction_centerclip.models import (
    MeanPoolingHead,
    TextConditionedPoolingHead,
    TextFeatures,
    TightTransformerHead,
)
from mmaction_centerclip.utils.tensor_files import read_tensors


def build(**options):
    return METRICS.build(dict(type='VideoTextRetrievalMetric', **options))


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmaction_centerclip.evaluation.retrieval_metric.print_log',
        lambda text, *_: lines.extend(text.splitlines()))
    return lines


@pytest.fixture
def samples():
    counts = [1, 3, 2, 1, 4]
    return [
        dict(
            sample_idx=i,
            filename=f'{i}.mp4',
            num_truncated=i,
            captions=[f'{i} {j}' for j in range(c)],
            video_features=dict(video=F.normalize(torch.randn(8), dim=0)),
            text_features=dict(text=F.normalize(torch.randn(c, 8), dim=1)))
        for i, c in enumerate(counts)
    ]


def test_concatenated_datasets_do_not_collide(samples):
    metric = build()
    for i, sample in enumerate(samples):
        sample['sample_idx'] = i % 2
    metric.process(None, samples)
    assert metric.evaluate(5) == pytest.approx(expected(samples))


def expected(samples, **options):
    texts = torch.cat([s['text_features']['text'] for s in samples])
    video = torch.stack([s['video_features']['video'] for s in samples])
    video_of_text = [i for i, s in enumerate(samples) for _ in s['captions']]
    metrics = retrieval_metrics(texts @ video.T, torch.tensor(video_of_text))
    return {f'retrieval/{k}': v for k, v in metrics.items()}


def test_repeated_samples_count_once(samples):
    metric = build()
    metric.process(None, samples[2:])
    metric.process(None, samples[:3])
    assert metric.evaluate(5) == expected(samples)
    assert metric.results == []


def test_a_missing_video_stops_the_evaluation(samples):
    lost = dict(sample_idx=5, filename='lost.mp4', missing=True,
                reason='no such file')
    with pytest.raises(InputError, match='lost.mp4: no such file.*allow_miss'):
        build().process(None, [lost])
    metric = build(allow_missing=True)
    metric.process(None, [lost, *samples])
    out = metric.evaluate(6)
    assert out.pop('retrieval/coverage') == pytest.approx(100 * 5 / 6)
    assert out == expected(samples)
    metric.process(None, [lost])
    with pytest.raises(InputError, match='none of the 1 videos'):
        metric.evaluate(1)


@pytest.mark.parametrize('topk', [(), (0, 5), (1.5, ), 5])
def test_bad_topk_is_named(topk):
    with pytest.raises(InputError, match='topk must be .*integer'):
        build(topk=topk)


def test_a_reranking_that_fails_costs_neither_features_nor_figures(
        samples, tmp_path, logged):
    for sample in samples:
        sample['video_features']['video'] *= 9
    path = str(tmp_path / 'features.pth')
    metric = build(dump=path, rerank=['dual_softmax'])
    metric.process(None, samples)
    with pytest.raises(InputError, match='from -1 to 1'):
        metric.evaluate(5)
    assert len(load_features(path).filenames) == 5
    plain, = [line for line in logged if line.split()[:1] == ['plain']]
    assert f"{expected(samples)['retrieval/t2v/R1']:.1f}" == plain.split()[1]


def test_rerankings_and_more_metrics_have_their_names(samples, logged):
    metric = build(rerank=['dual_softmax'], more_metrics=['mAP'])
    metric.process(None, samples)
    out = metric.evaluate(5)
    assert expected(samples).items() <= out.items()
    assert 'retrieval/dual_softmax/v2t/R1' in out and 'retrieval/t2v/mAP' in out
    assert 'mAP, video-to-text: each video ranks all single captions' in logged[1]


def test_features_alone(samples, tmp_path):
    path = str(tmp_path / 'bank.pth')
    # The bank that a re-ranking wants is the one to be written.
    metric = build(dump=path, dump_only=True, rerank=[
        dict(type='qb_norm', bank=path), 'dual_softmax'])
    metric.use_head(TightTransformerHead(embed_dims=8))
    for sample in samples:  # Of a head that is not at hand.
        sample['video_features'] = dict(segments=torch.rand(3, 8))
    metric.process(None, samples)
    assert metric.evaluate(5) == {}
    assert load_features(path).similarity is None


def test_pairs_that_cannot_be_scored_cost_no_features(samples, tmp_path, logged):
    path = str(tmp_path / 'features.pth')
    head = TextConditionedPoolingHead(embed_dims=8).eval()
    for sample in samples:
        words = torch.rand(len(sample['captions']), 1, 8)
        sample['text_features'] = head.text_features(
            TextFeatures(words[:, 0], words, torch.ones(words.shape[:2]).bool()))
        video = head.video_features(torch.rand(1, 3, 8), torch.ones(1, 3).bool())
        sample['video_features'] = {k: x[0] for k, x in video.items()}
    samples[2]['video_features']['values'] *= torch.nan
    metric = build(dump=path)
    metric.use_head(head, dict(type='TextConditionedPoolingHead', embed_dims=8))
    metric.process(None, samples)
    with pytest.raises(InputError, match='not finite'):
        metric.evaluate(5)
    kept = read_tensors(path)
    assert len(kept['filenames']) == 5 and kept['similarity'] is None
    assert torch.equal(kept['head']['state_dict']['query.weight'], head.query.weight)
    assert not any('plain' in line for line in logged)
    with pytest.raises(InputError, match="video 'values' has values .* not finite"):
        load_features(path)


def test_what_does_not_go_together_is_said_before_the_work(samples):
    with pytest.raises(InputError, match='dump_only=True needs dump'):
        build(dump_only=True)
    with pytest.raises(InputError, match="'float64', 'float32'.* got 'half'"):
        build(score_dtype='half')
    metric = build(rerank=['dual_softmax'])
    metric.use_head(MeanPoolingHead())
    with pytest.raises(InputError, match='those of TightTransformerHead are not'):
        metric.use_head(TightTransformerHead(embed_dims=8))
    samples[0]['video_features'] = dict(segments=torch.rand(3, 8))
    with pytest.raises(InputError, match='ScoringHeadHook'):
        build().process(None, samples)
