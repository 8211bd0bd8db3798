"""Evaluations of real videos, by every kind of head, as a user runs them."""
import json
import os
import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from mmaction_centerclip.datasets.transforms import VideoInit
from mmaction_centerclip.evaluation import load_features
from mmaction_centerclip.models import CLIPVisionTower

from ..processes import launch
from .test_train_and_test import losses

pytestmark = pytest.mark.slow

HEADS = {
    'sequential': dict(type='SequentialTransformerHead', embed_dims=16,
                       num_layers=2, num_heads=2),
    'tight': dict(type='TightTransformerHead', embed_dims=16, num_layers=2,
                  num_heads=2, chunk_size=7),
    'interaction': dict(type='WeightedTokenInteractionHead', embed_dims=16),
    'xpool': dict(type='TextConditionedPoolingHead', embed_dims=16),
}


@pytest.fixture
def config_of(tiny_config, tmp_path):
    """A config with another head, and a checkpoint of random weights."""

    def make(head=None, **options):
        cfg = Config.fromfile(tiny_config)
        if head is not None:
            cfg.model.head = dict(HEADS[head])
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
        cfg.merge_from_dict(options)
        path = tmp_path / 'config.py'
        cfg.dump(path)
        torch.manual_seed(1)
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()),
                   tmp_path / 'random.pth')
        return cfg, path, tmp_path / 'random.pth'

    return make


@pytest.fixture
def inside(run_tool):
    """Run a tool in this process, which is faster; what it printed."""

    def run(*args, script):
        printed = run_tool(script, *args)
        assert not printed.startswith('error: '), printed
        return printed

    return run


def metrics_in(folder):
    saved, = folder.glob('*/[0-9]*.json')
    return json.loads(saved.read_text())


def record_calls(monkeypatch, cls, name, what):
    calls = []
    original = getattr(cls, name)

    def wrapper(self, *args, **kwargs):
        calls.append(what(*args))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(cls, name, wrapper)
    return calls


def test_a_video_is_decoded_and_encoded_once(config_of, shapes_captions,
                                             monkeypatch, tmp_path):
    decoded = record_calls(monkeypatch, VideoInit, 'transform',
                      lambda results: results['filename'])
    encoded = record_calls(monkeypatch, CLIPVisionTower, 'encode_segments',
                      lambda imgs, *_: len(imgs))
    captions = {name: [f'{texts[0]} {i}' for i in range(40)]
                for name, texts in shapes_captions.items()}
    (tmp_path / 'many.json').write_text(json.dumps(captions))
    cfg, _, checkpoint = config_of()
    loader = cfg.test_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.ann_file = str(tmp_path / 'many.json')
    loader.dataset.data_prefix = dict(video=os.path.join(
        cfg.test_dataloader.dataset.data_root,
        cfg.test_dataloader.dataset.data_prefix.video))
    loader.dataset.data_root = ''
    cfg.update(work_dir=str(tmp_path / 'work'), load_from=str(checkpoint),
               launcher='none')
    metrics = Runner.from_cfg(cfg).test()
    assert len(captions) == 9 and len(decoded) == len(set(decoded)) == 9
    assert sum(encoded) == 9
    assert metrics['retrieval/t2v/MnR'] >= 1


def test_a_head_of_pairs_trains_and_evaluates(config_of, inside, tmp_path):
    _, config, _ = config_of('tight')
    printed = inside(config, '--work-dir', tmp_path / 'work', script='train.py')
    assert len(losses(printed)) == 6
    assert float(re.search(r'retrieval/v2t/MnR: (\S+)', printed)[1]) >= 1
    assert 'several captions per video, all queries' in printed


@pytest.mark.parametrize('head', [None, 'interaction', 'xpool', 'tight'])
def test_dumped_features_give_the_same_metrics(config_of, inside, tmp_path,
                                               head):
    _, config, checkpoint = config_of(head)
    dump = tmp_path / 'features.pth'
    inside(config, checkpoint, '--work-dir', tmp_path / 'work', '--dump', dump,
           script='test.py')
    expected = {k.removeprefix('retrieval/'): v
                for k, v in metrics_in(tmp_path / 'work').items()}
    features = load_features(str(dump))
    assert len(features.filenames) == 9
    assert len(features.captions) == len(features.video_of_text)
    assert (features.similarity is None) == features.separable
    out = tmp_path / 'out.json'
    options = [] if head == 'tight' else ['--rerank', 'dual_softmax:temperature=20']
    printed = inside(dump, '--out', out, *options, '--more-metrics', 'Rsum', 'mAP',
                     script='analysis_tools/eval_features.py')
    got = json.loads(out.read_text())
    for direction in ('t2v', 'v2t'):
        for name in ('R1', 'R5', 'R10', 'MdR', 'MnR'):
            key = f'{direction}/{name}'
            assert got[key] == pytest.approx(expected[key], abs=1e-6)
    assert {'Rsum', 't2v/mAP'} <= got.keys()
    assert 'several captions per video' in printed
    if head != 'tight':
        assert 'dual_softmax/v2t/mAP' in got
        assert re.search(r'^plain .*\ndual_softmax ', printed, re.M)


@pytest.mark.parametrize('head', [None, 'tight'])
def test_a_bank_normalises_without_the_model(config_of, inside, tmp_path, head):
    _, config, checkpoint = config_of(head)
    bank, dump, out = (tmp_path / n for n in ('bank.pth', 'test.pth', 'out.json'))
    with_bank = Config.fromfile(config)
    with_bank.test_evaluator.rerank = [dict(type='qb_norm', bank=str(bank), beta=5.)]
    with_bank.dump(config)
    printed = inside(config, checkpoint, '--work-dir', tmp_path / 'bank', '--dump',
                     bank, '--dump-only', '--cfg-options',
                     'test_dataloader.dataset.ann_file=train.json',
                     script='test.py')
    assert len(load_features(str(bank)).filenames) == 24
    assert 'R1' not in printed and 'features of 24 videos and 72 cap' in printed
    inside(config, checkpoint, '--work-dir', tmp_path / 'work', '--dump', dump,
           script='test.py')
    inside(dump, '--rerank', f'qb_norm:bank={bank},beta=5', '--out', out,
           script='analysis_tools/eval_features.py')
    got = json.loads(out.read_text())
    assert 'qb_norm/t2v/R1' in got
    for name, value in metrics_in(tmp_path / 'work').items():
        if name.startswith('retrieval/'):
            assert got[name.removeprefix('retrieval/')] == pytest.approx(value)


def test_padding_of_short_videos_counts_for_nothing(config_of, inside, tmp_path):
    """The videos have 2 seconds: 8 frames at 4 a second, the rest is masked."""
    features = {}
    for clip_len in (8, 12):
        cfg, config, checkpoint = config_of('sequential')
        cfg.model.backbone.necks = []
        steps = cfg.test_dataloader.dataset.pipeline
        steps[1] = dict(type='SampleFramesWithMask', clip_len=clip_len,
                        frames_per_second=4, test_mode=True)
        steps[-1].collect_keys = ('imgs', 'text', 'frame_mask')
        cfg.dump(config)
        dump = tmp_path / f'{clip_len}.pth'
        inside(config, checkpoint, '--work-dir', tmp_path / 'work', '--dump',
               dump, script='test.py')
        features[clip_len] = load_features(str(dump)).video['video']
    torch.testing.assert_close(features[12], features[8])


def test_two_processes_evaluate_as_one(config_of, inside, tmp_path):
    _, config, checkpoint = config_of('interaction')
    more = ('test_evaluator.rerank=[dual_softmax]', 'test_evaluator.more_metrics=[mAP]')
    inside(config, checkpoint, '--work-dir', tmp_path / 'alone', '--dump',
           tmp_path / 'alone.pth', '--cfg-options', *more, script='test.py')
    launch('dist_test.sh', config, checkpoint, 2, '--work-dir', tmp_path / 'two',
           '--dump', tmp_path / 'two.pth', '--cfg-options', *more,
           'test_dataloader.batch_size=2', 'test_evaluator.max_pairs=20',
           log=tmp_path / 'log')
    got, expected = metrics_in(tmp_path / 'two'), metrics_in(tmp_path / 'alone')
    assert 'retrieval/dual_softmax/t2v/mAP' in expected
    for name in expected:
        if name.startswith('retrieval/'):
            assert got[name] == expected[name], name
    two, alone = (load_features(str(tmp_path / f'{n}.pth')) for n in ('two', 'alone'))
    assert two.captions == alone.captions
    # Encoded in batches of other sizes.
    torch.testing.assert_close(two.similarity, alone.similarity)


def test_features_are_not_overwritten(run_tool, config_of, tmp_path):
    _, config, checkpoint = config_of()
    mine = tmp_path / 'mine.pth'
    mine.write_text('precious')
    message = run_tool('test.py', config, checkpoint, '--dump', mine)
    assert 'mine.pth exists already' in message
    assert mine.read_text() == 'precious'
    message = run_tool('analysis_tools/eval_features.py', mine)
    assert 'mine.pth: not a readable checkpoint' in message
