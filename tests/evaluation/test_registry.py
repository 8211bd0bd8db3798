"""A metric and a re-ranking that stand outside the package."""
import json
import runpy
import sys

import pytest
import torch
from mmaction.registry import METRICS
from torch.nn import functional as F

from mmaction_centerclip.evaluation import (
    RERANKINGS,
    RETRIEVAL_METRICS,
    RetrievalFeatures,
    evaluate_features,
    retrieval_metrics,
    save_features,
)

from ..paths import TOOLS

OUTSIDE = '''
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import (
    RERANKINGS, RETRIEVAL_METRICS, Reranking, RetrievalMetric)


@RETRIEVAL_METRICS.register_module(name='margin')
class Margin(RetrievalMetric):
    needs_matrix = True
    several_captions = 'the mean over all captions'

    def __call__(self, scores):
        matrix = scores.matrices['t2v']
        own = matrix.gather(1, scores.video_of_text[:, None])
        return {'t2v/margin': (own - matrix).mean().item()}


@RERANKINGS.register_module(name='centered')
class Centered(Reranking):
    def __init__(self, share=1.0):
        if share < 0:
            raise InputError(f'centered: share must not be negative, got {share}')
        self.share = share

    def __call__(self, scores):
        matrix = scores.matrices['t2v']
        return scores.replace(
            t2v=matrix - self.share * matrix.mean(dim=0),
            v2t=matrix - self.share * matrix.mean(dim=1, keepdim=True))
'''
VIDEO_OF_TEXT = torch.tensor([0, 0, 1, 2, 2, 3])


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Write the module, and forget afterwards what it registers."""
    (tmp_path / 'outside_the_package.py').write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    for registry in (RETRIEVAL_METRICS, RERANKINGS):
        monkeypatch.setattr(
            registry, '_module_dict', dict(registry.module_dict))
    yield 'outside_the_package'
    sys.modules.pop('outside_the_package', None)


@pytest.fixture
def features():
    video = F.normalize(torch.randn(4, 8), dim=1)
    text = F.normalize(video[VIDEO_OF_TEXT] + torch.randn(6, 8), dim=1)
    return RetrievalFeatures(
        dict(video=video), dict(text=text), VIDEO_OF_TEXT,
        [f'{i}.mp4' for i in range(4)], [f'caption {i}' for i in range(6)])


@pytest.fixture
def expected(features):
    matrix = features.text['text'] @ features.video['video'].T
    rows = {'': matrix, 'centered/': matrix - .5 * matrix.mean(dim=0)}
    figures = {}
    for prefix, x in rows.items():
        own = x[torch.arange(6), VIDEO_OF_TEXT]
        figures[f'{prefix}t2v/margin'] = (own[:, None] - x).mean().item()
        figures[f'{prefix}t2v/MnR'] = retrieval_metrics(
            x, VIDEO_OF_TEXT)['t2v/MnR']
    return figures


OPTIONS = dict(more_metrics=['margin'], rerank=[dict(type='centered', share=.5)])


def test_the_metric_and_the_table_have_their_rows(outside, features, expected):
    __import__(outside)
    reports = []
    got = evaluate_features(features, None, reports.append, **OPTIONS)
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-6), name
    assert 'margin, the mean over all captions' in reports[0]
    assert 't2v margin' in reports[0] and '\ncentered  ' in reports[0]

    metric = METRICS.build(dict(type='VideoTextRetrievalMetric', **OPTIONS))
    metric.process(None, [
        dict(sample_idx=i, filename=f'{i}.mp4',
             captions=[f'caption {t}' for t in own.nonzero()[:, 0]],
             video_features={'video': features.video['video'][i]},
             text_features={'text': features.text['text'][own]})
        for i, own in enumerate(VIDEO_OF_TEXT == torch.arange(4)[:, None])])
    assert metric.evaluate(4) == {f'retrieval/{k}': v for k, v in got.items()}


def test_the_command_line_imports_them(outside, features, expected, tmp_path,
                                       monkeypatch):
    script = str(TOOLS / 'analysis_tools/eval_features.py')
    path, out = tmp_path / 'features.pth', tmp_path / 'out.json'
    save_features(features, str(path))

    def run(*options):
        monkeypatch.setattr(sys, 'argv', ['eval_features.py', str(path), '--out',
                                          str(out), *options])
        runpy.run_path(script, run_name='__main__')

    run('--custom-imports', outside, '--more-metrics', 'margin', '--rerank',
        'centered:share=0.5')
    got = json.loads(out.read_text())
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-6), name
    for options, message in (
            (['--rerank', 'centered:share=-1'], 'share must not be negative'),
            (['--rerank', 'centered:.5'], "NAME:OPTION=VALUE.*'centered:.5'"),
            (['--custom-imports', 'no_such_module'], 'no_such_module')):
        with pytest.raises(SystemExit, match=f'^error: .*{message}'):
            run(*options)


def test_those_of_the_package_are_registered():
    assert set(RETRIEVAL_METRICS.module_dict) == {'gmean', 'Rsum', 'mAP', 'NDCG'}
    assert set(RERANKINGS.module_dict) == {'dual_softmax', 'qb_norm'}
