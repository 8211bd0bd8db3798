"""Towers that are split over processes compute what whole ones do."""
import copy
import json
import math
import shutil
import time
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor

from mmaction_centerclip.engine import CheckFiniteHook, FullyShardStrategy, launching
from mmaction_centerclip.engine.sharded_towers import ShardedTowers
from mmaction_centerclip.engine.sharding import check_strategy, take_both_kinds
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.weights import total_norm, whole

from ..conftest import NECK
from ..models.hosts import HOSTS
from ..models.test_hosts import mask_of
from ..processes import SERVER, kill, launch, start_launch
from ..reference.work_dirs import evaluations_of

pytestmark = pytest.mark.skipif(
    not hasattr(FSDPModule, 'set_force_sum_reduction_for_comms'),
    reason='torch below 2.8')
KEYS = dict(type='TokenMerging', before_block=1, r=1)
SHARDED = 'runner_type=FlexibleRunner', 'strategy.type=FullyShardStrategy'


@pytest.fixture
def alone():
    """A group of one process, whose parameters are split as those of more are."""
    dist.init_process_group(store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def split(model, dtype=None):
    device = next(model.parameters()).device.type
    ShardedTowers(model, device,
                  MixedPrecisionPolicy(dtype, torch.float32, torch.float32))
    return model


def loss_of(model, inputs):
    return model.parse_losses(model(inputs, mode='loss'))[0]


def gradients(model):
    return {name: whole(parameter.grad) for name, parameter in model.named_parameters()
            if parameter.grad is not None}


@pytest.mark.parametrize('name, neck', [
    *((name, NECK) for name in HOSTS),
    *((name, KEYS) for name in ('clip', 'videomae', 'eva02', 'siglip', 'pe_core'))])
def test_a_split_tower_gives_the_same_to_the_last_bit(alone, name, neck):
    imgs = torch.randn(3, 8, 3, 32, 32)
    model = nn.Sequential(HOSTS[name].build([neck])).train()
    model[0].set_grad_checkpointing(neck is KEYS)
    results, (mask, _) = [], mask_of(HOSTS[name])
    for each in (copy.deepcopy(model), split(model)):
        torch.manual_seed(0)  # The zoo's TimeSformer always drops some paths.
        features = each[0].encode_segments(imgs, mask).features
        features.square().mean().backward()
        with torch.no_grad():
            evaluated = each.eval()[0].encode_segments(imgs, mask).features
        assert not any(isinstance(p, DTensor) for p in each.parameters())
        results.append((features, evaluated, gradients(each.train())))
    assert all(isinstance(p, DTensor) for p in model.parameters())
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


HEAD = dict(type='SequentialTransformerHead', embed_dims=16, num_heads=2)


@pytest.mark.parametrize('options', [
    dict(head=HEAD), dict(lora=dict(backbone=dict(r=2), text_backbone=dict(r=2))),
    dict(frozen_layers=1)], ids=str)
def test_a_retriever_learns_and_evaluates_the_same(alone, retriever_cfg, inputs,
                                                   options):
    if 'lora' in options:
        pytest.importorskip('peft')
    model = MODELS.build({**retriever_cfg([NECK]), **options})
    results = []
    for each in (copy.deepcopy(model), split(model)):
        for _ in range(2):
            loss = loss_of(each.train(), inputs)
            loss.backward()
        with torch.no_grad():
            features = each.eval()(inputs)
        results.append((loss, features['segments'], gradients(each.train())))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)
    assert not isinstance(model.head.logit_scale, DTensor)


def test_towers_in_bfloat16_give_float32(alone, build_retriever, inputs):
    model = build_retriever()
    expected = copy.deepcopy(model)(inputs)
    for each in (split(model, torch.bfloat16), model.eval()):
        features = each(inputs)
        for name in ('video', 'text'):
            assert features[name].dtype == torch.float32
            error = (features[name] - expected[name]).norm() / expected[name].norm()
            assert 0 < error < 2e-2
    assert all(p.dtype == torch.float32 for p in model.train().parameters())


@pytest.mark.parametrize('clip', [
    dict(max_norm=1e-3), dict(max_norm=1e-3, norm_type=math.inf),
    dict(max_norm=1e-3, error_if_nonfinite=True),
    dict(type='value', clip_value=1e-5)], ids=str)
def test_an_optimizer_steps_and_clips_both_kinds(alone, build_retriever, inputs, clip):
    model, states = build_retriever(), []
    for each in (copy.deepcopy(model), split(model)):
        kinds = {type(parameter) for parameter in each.parameters()}
        wrapper = OptimWrapper(torch.optim.AdamW(each.parameters(), 0.5, foreach=True),
                               clip_grad=dict(clip))
        if each is model:
            take_both_kinds(wrapper)
            assert kinds == {DTensor, nn.Parameter}
        for _ in range(2):
            wrapper.update_params(loss_of(each.train(), inputs))
        assert len(wrapper.param_groups) == 1
        states.append({name: whole(p) for name, p in each.state_dict().items()})
    torch.testing.assert_close(states[1], states[0])


def test_the_norm_and_the_check_see_split_weights(alone, build_retriever):
    model = build_retriever()
    expected = torch.nn.utils.get_total_norm(list(model.parameters()))
    split(model)
    torch.testing.assert_close(total_norm(model.parameters()), expected)
    runner = SimpleNamespace(model=model, epoch=0, iter=0)
    CheckFiniteHook()._check_weights(runner, 1)
    with torch.no_grad():
        model.text_backbone.ln_final.weight.to_local()[3] = torch.nan
    with pytest.raises(InputError, match=r'1 weights .* text_backbone\.ln_final\.wei'):
        CheckFiniteHook()._check_weights(runner, 1)


def test_what_does_not_go_with_it_is_refused(alone, tmp_path):
    strategy = dict(type='FullyShardStrategy')
    for options, message in (
        (dict(), "needs runner_type='FlexibleRunner', got 'RetrievalRunner'"),
        (dict(runner_type='FlexibleRunner', custom_hooks=[dict(type='EMAHook')]),
         'does not go with EMAHook')):
        with pytest.raises(InputError, match=message):
            check_strategy(Config(dict(strategy=strategy, **options)))
    check_strategy(Config(dict(runner_type='FlexibleRunner', strategy=strategy)))
    with pytest.raises(InputError, match="'bfloat16', got 'float16'"):
        FullyShardStrategy(param_dtype='float16', work_dir=str(tmp_path))
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(InputError, match='Sequential has none'):
        split(model)
    self = FullyShardStrategy(work_dir=str(tmp_path), env_kwargs=dict(launcher='none'))
    self._towers = object()
    optimizer = torch.optim.SGD(model.parameters(), 1.)
    with pytest.raises(InputError, match='one OptimWrapper, got OptimWrapperDict'):
        self.build_optim_wrapper(OptimWrapperDict(a=OptimWrapper(optimizer)))


def _hold(rank, store, cfg, results):
    dist.init_process_group(
        'gloo', store=dist.FileStore(store, 4), rank=rank, world_size=4)
    model = MODELS.build(cfg)
    total = sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.AdamW(split(model).parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    held = sum(getattr(x, '_local_tensor', x).numel() for x in (
        *model.parameters(), *(value for state in optimizer.state.values()
                               for name, value in state.items() if name != 'step')))
    with pytest.raises(InputError, match=r"\['b.pth', 'a.pth', 'a.pth', 'a.pth'\]"):
        launching._check_start(Config(dict(
            load_from=f'{rank}/{"ab"[rank == 0]}.pth', work_dir='w')))
    launching._check_start(Config(dict(load_from=f'{rank}/a.pth')))
    results.put((rank, held / (3 * total)))
    dist.destroy_process_group()


@pytest.mark.slow
def test_four_processes_hold_a_quarter_each(retriever_cfg, tmp_path):
    results = SERVER.Queue()
    ranks = [SERVER.Process(target=_hold, args=(
        rank, str(tmp_path / 'store'), retriever_cfg([NECK]), results))
        for rank in range(4)]
    for process in ranks:
        process.start()
    shares = dict(results.get(timeout=120) for _ in ranks)
    for process in ranks:
        process.join()
    assert len(shares) == 4 and max(shares.values()) < 0.3


def logged(work_dir, name):
    """What was logged last of each iteration."""
    paths = sorted(work_dir.glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for path in paths
             for line in path.read_text().splitlines()]
    return [x[1] for x in sorted({
        line['step']: line[name] for line in lines if 'loss' in line}.items())]


@pytest.mark.slow
def test_killed_at_four_resumed_at_two_as_ddp(run_tool, tiny_config, tiny_checkpoint,
                                              tmp_path):
    options = ['--seed', 3, '--cfg-options', f'load_from={tiny_checkpoint}',
               'train_cfg.max_epochs=4', 'param_scheduler.end=4',
               'default_hooks.checkpoint.save_best=auto']
    one_each = ['train_dataloader.batch_size=1', *SHARDED]
    two_each = ['train_dataloader.batch_size=2']
    log, ddp, work = (tmp_path / name for name in ('log', 'ddp', 'work'))
    launch('dist_train.sh', tiny_config, 2, '--work-dir', ddp, *options, *two_each,
           log=log)
    ranks = start_launch('dist_train.sh', tiny_config, 4, '--work-dir', work, *options,
                         *one_each, log=log)
    try:
        end = time.monotonic() + 180
        while not (work / 'epoch_2.pth').is_file():
            assert time.monotonic() < end and all(p.is_alive() for p in ranks), (
                log.read_text()[-1500:])
            time.sleep(.05)
    finally:
        for process in ranks:
            kill(process)
    shutil.rmtree(tmp_path / 'bin')
    launch('dist_train.sh', tiny_config, 2, '--work-dir', work, '--resume', *options,
           *two_each, *SHARDED, log=log)
    expected = logged(ddp, 'loss')
    assert len(expected) == 24
    assert logged(work, 'loss') == pytest.approx(expected, abs=1e-5)
    # Adam's steps do not tell gradients from multiples of them.
    assert logged(work, 'grad_norm') == pytest.approx(logged(ddp, 'grad_norm'), 1e-4)
    content, other = (torch.load(path / 'epoch_4.pth', weights_only=False)
                      for path in (work, ddp))
    assert content['optimizer']['state'].keys() == other['optimizer']['state'].keys()
    torch.testing.assert_close(content['state_dict'], other['state_dict'],
                               rtol=0, atol=1e-4)
    figures, path = [], work / 'epoch_4.pth'
    for number, (checkpoint, more) in enumerate([
            ([path], ['launcher=none']), ([path], SHARDED),
            ([], [f'model.pretrained={path}', *SHARDED])]):
        folder = tmp_path / f'test{number}'
        run_tool('test.py', tiny_config, *checkpoint, '--work-dir', folder,
                 '--cfg-options', *more)
        figures += evaluations_of(folder, 'test')
    assert figures[0] == figures[1] == figures[2]
    assert figures[0] == pytest.approx(evaluations_of(work)[-1], abs=1e-2)
