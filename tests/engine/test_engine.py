import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import (
    HOOKS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    PARAM_SCHEDULERS,
)
from mmengine.config import Config
from mmengine.structures import BaseDataElement

from mmaction_centerclip.engine.hooks.data import describe_training
from mmaction_centerclip.errors import InputError

from ..conftest import NECK
from ..paths import CONFIGS, golden_files, load

OPTIM = load(golden_files('optim.npz')[0])


@pytest.fixture
def schedule():
    cfg = Config.fromfile(CONFIGS / '_base_/schedules/clip_5e.py')
    cfg.optim_wrapper.type = 'OptimWrapper'  # the config's needs a GPU
    return cfg


def test_learning_rates_are_the_papers(schedule):
    new, clip = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    lr = OPTIM['cc_init_lr']
    optimizer = torch.optim.AdamW([
        dict(params=[new], lr=lr),
        dict(params=[clip], lr=lr * OPTIM['cc_coef_lr'])
    ])
    cfg = schedule.param_scheduler
    assert (lr, OPTIM['cc_coef_lr']) == (
        schedule.optim_wrapper.optimizer.lr,
        schedule.optim_wrapper.paramwise_cfg.clip_lr_mult)
    assert cfg.pop('convert_to_iter_based')
    cls = PARAM_SCHEDULERS.get(cfg.pop('type'))
    steps = OPTIM['cc_total_steps']
    scheduler = cls.build_iter_from_epoch(
        optimizer, epoch_length=steps // cfg.end, **cfg)
    rates = []
    for _ in range(steps):
        rates.append([g['lr'] for g in optimizer.param_groups][::-1])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates, OPTIM['cc_cos_lr'][:, :2], rtol=1e-5)


@pytest.mark.parametrize('options', [
    dict(end=10**9), dict(end=10, warmup_ratio=1), dict(
        end=10, floor_ratio=-0.1)])
def test_bad_schedule_is_named(options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    with pytest.raises(InputError, match='got'):
        PARAM_SCHEDULERS.get('LinearWarmupCosineLR')(optimizer, **options)


def test_parameter_groups(build_retriever, schedule):
    model = build_retriever([NECK], frozen_layers=0)
    model.head.extra = torch.nn.Linear(2, 2)
    model.head.logit_bias = torch.nn.Parameter(torch.tensor(-10.))
    cfg = schedule.optim_wrapper
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=cfg.pop('constructor'),
            paramwise_cfg=cfg.pop('paramwise_cfg'),
            optim_wrapper_cfg=cfg))
    optimizer = constructor(model).optimizer
    names = {id(p): n for n, p in model.named_parameters()}
    seen = {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            seen[names[id(parameter)]] = (group['lr'], group['weight_decay'])
    assert seen.keys() == {
        n for n, p in model.named_parameters() if p.requires_grad
    }
    for name, (lr, decay) in seen.items():
        assert lr == (5e-3 if 'extra' in name else 5e-6), name
        assert decay == (0 if 'bias' in name else 0.2), name
    # As the authors' groups say of the same names.
    theirs = dict(
        zip(OPTIM['cc_param_names'],
            zip(OPTIM['cc_param_lr_mult'], OPTIM['cc_param_weight_decay'],
                OPTIM['cc_param_trainable'])))
    for name, (lr, decay) in seen.items():
        name = name.replace('text_backbone.', 'clip.').replace(
            'head.logit_scale', 'clip.logit_scale').replace(
                'backbone.', 'clip.visual.')
        if name in theirs:
            assert theirs[name] == pytest.approx((lr / 5e-3, decay, True))


def test_unknown_paramwise_option_is_named():
    with pytest.raises(InputError, match="got .'clip_lr'"):
        OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type='CLIPOptimWrapperConstructor',
                optim_wrapper_cfg={},
                paramwise_cfg=dict(clip_lr=1)))


@pytest.mark.parametrize('value, expected', [(-3., 0.1), (1., 1.),
                                             (9., math.log(100))])
def test_logit_scale_is_clamped(build_retriever, value, expected):
    model = build_retriever()
    model.head.logit_scale.data.fill_(value)
    hook = HOOKS.build(dict(type='ClampLogitScaleHook'))
    hook.after_train_iter(SimpleNamespace(model=model, hooks=[hook]), 0)
    assert model.head.logit_scale.item() == pytest.approx(expected)


def test_a_scale_beside_a_bias_is_not_clamped(build_retriever):
    """SigLIP's weights have scales above 100."""
    model = build_retriever()
    model.head = MODELS.build(dict(
        type='MeanPoolingHead', init_logit_bias=-10, init_logit_scale=4.8))
    hook = HOOKS.build(dict(type='ClampLogitScaleHook'))
    hook.after_train_iter(SimpleNamespace(model=model, hooks=[hook]), 0)
    assert model.head.logit_scale.item() == pytest.approx(4.8)


def sample(**meta):
    element = BaseDataElement()
    element.set_metainfo(meta)
    return element


def test_report_counts_and_names(caplog):
    hook = HOOKS.build(dict(type='DataReportHook', max_files=1))
    logger = logging.getLogger('report')
    runner = SimpleNamespace(logger=logger, epoch=2, hooks=[hook])
    hook.before_train_epoch(runner)
    batch = dict(data_samples=[
        sample(skipped=[('b.mp4', 'no such file'), ('a.mp4', 'empty')],
               num_truncated=1),
        sample(skipped=[('b.mp4', 'no such file')], num_truncated=1),
        sample(skipped=[], num_truncated=0)
    ])
    hook.after_train_iter(runner, 0, batch)
    with caplog.at_level(logging.INFO, logger='report'):
        hook.after_train_epoch(runner)
    text = caplog.text
    assert 'Epoch 3: skipped 2 unreadable videos' in text
    assert 'stood in for 2 of 3 samples' in text
    assert 'a.mp4: empty' in text and 'and 1 more' in text
    assert 'cut 2 of 3 captions' in text
    caplog.clear()
    hook.before_train_epoch(runner)
    hook.after_train_epoch(runner)
    assert caplog.text == ''


@pytest.mark.parametrize('wrapper, said', [
    ({}, 'in float32, by seed 5'),
    (dict(cast_dtype=None), 'in mixed float16,'),  # torch's own choice on CUDA
    (dict(cast_dtype=torch.bfloat16, _accumulative_counts=2),
     'gradients of 2 steps added up, in mixed bfloat16,')])
def test_what_a_training_is_of_is_told(wrapper, said):

    class Listed(list):
        num_videos = 3

    lists = Listed(range(7)), Listed(range(7))
    lists[0].ann_file, lists[0].mask_repeats = 'data/a.json', True
    lists[1].ann_file, lists[1].mask_repeats = 'data/b.json', False
    loader = SimpleNamespace(dataset=SimpleNamespace(datasets=lists),
                             batch_sampler=SimpleNamespace(batch_size=4))
    runner = SimpleNamespace(train_dataloader=loader, seed=5,
                             optim_wrapper=SimpleNamespace(**wrapper))
    first, second, last = describe_training(runner)
    assert first == ('Trains on a.json: 3 videos, 7 samples; pairs of a batch that '
                     'repeat a video or caption are no negatives')
    assert 'b.json' in second and second.endswith('are taken for negatives')
    assert '4 pairs a step (4 in each of 1 processes)' in last and said in last
    loader.dataset = range(7)
    assert describe_training(runner) == []


def test_of_two_hooks_the_later_one_counts(build_retriever):
    model = build_retriever()
    model.head.logit_scale.data.fill_(9.)
    hooks = [HOOKS.build(dict(type='ClampLogitScaleHook', max=x))
             for x in (2., 5.)]
    for hook in hooks:
        hook.after_train_iter(SimpleNamespace(model=model, hooks=hooks), 0)
    assert model.head.logit_scale.item() == 5


@pytest.mark.parametrize('cfg', [
    dict(type='ClampLogitScaleHook', min=2, max=1),
    dict(type='DataReportHook', max_files=-1)
])
def test_bad_hook_options_are_named(cfg):
    with pytest.raises(InputError, match='got'):
        HOOKS.build(cfg)
