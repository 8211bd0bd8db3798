import pytest
import torch
from mmaction.registry import METRICS
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import retrieval_metrics


def build(**options):
    return METRICS.build(dict(type='VideoTextRetrievalMetric', **options))


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
    owners = [i for i, s in enumerate(samples) for _ in s['captions']]
    metrics = retrieval_metrics(texts @ video.T, torch.tensor(owners))
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


@pytest.mark.parametrize('topk', [(), (0, 5), (1.5, )])
def test_bad_topk_is_named(topk):
    with pytest.raises(InputError, match='topk must be positive'):
        build(topk=topk)
