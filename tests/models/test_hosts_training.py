"""Training a host: gradients on fewer tokens, checkpointing, compilation."""
import copy

import pytest
import torch

from mmaction_centerclip.models import TokenNeck

from .hosts import HOSTS
from .selections import record_selections
from .test_hosts import EVERY_NECK, NECK, NECKS, each_host, mask_of


@pytest.mark.parametrize('host, autocast, checkpointing', [
    *((host, False, False) for host in HOSTS.values()),
    *((HOSTS[name], True, True) for name in EVERY_NECK)])
def test_dropped_tokens_are_spared_the_backward_pass(
        monkeypatch, host, imgs, autocast, checkpointing):
    tower = host.build([NECK], with_cp=checkpointing)
    tower.set_grad_checkpointing(checkpointing)
    got, small = gradients(tower, imgs, autocast)
    monkeypatch.setattr(type(tower.necks[0]), 'after', TokenNeck.after)
    expected, large = gradients(tower, imgs, autocast)
    if not checkpointing:
        assert small < large
    for name, gradient in expected.items():
        accuracy = 3e-2 if autocast else 1e-4
        torch.testing.assert_close(
            got[name], gradient, rtol=accuracy,
            atol=accuracy * gradient.abs().max().item() + 1e-9, msg=name)


def gradients(tower, imgs, autocast):
    """Gradients, and bytes that are kept for the backward pass."""
    storages = {}

    def pack(x):
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    tower.train().zero_grad()
    torch.manual_seed(0)  # The zoo's TimeSformer always drops some paths.
    with (torch.autocast('cpu', torch.bfloat16, enabled=autocast),
          torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x)):
        features, _ = tower.encode(imgs)
    features.float().square().sum().backward()
    return ({n: p.grad.clone() for n, p in tower.named_parameters()
             if p.grad is not None}, sum(storages.values()))


@each_host
def test_checkpointing_clusters_once_and_changes_no_gradient(host, imgs):
    tower = host.build([NECK]).train()
    other = copy.deepcopy(tower)
    other.set_grad_checkpointing()
    selections = record_selections(other.necks[0])
    for model in (tower, other):
        torch.manual_seed(0)
        model.encode(imgs)[0].square().sum().backward()
    assert len(selections) == 1
    for a, b in zip(tower.parameters(), other.parameters()):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize('host', [h for h in HOSTS.values() if h.random])
def test_a_block_that_drops_at_random_runs_once(host, imgs):
    """The tokens that a neck sees are those that go on."""
    tower = host.build([dict(NECK, before_block=3)], **host.random).train()
    seen = []
    block = host.blocks(tower)[1]
    mlp = getattr(block, 'mlp', None) or block.ffn
    mlp.register_forward_hook(lambda *args: seen.append(args[2]))
    selections = record_selections(tower.necks[0])
    tower.encode(imgs)[0].sum().backward()
    assert len(seen) == 1 and len(selections) == 1


NECKS = dict(NECKS, tome=[dict(type='TokenMerging', before_block=[1, 2], r=1)])
# Compiling takes seconds: of hosts that differ by their modules or options, one.
COMPILED = [host for host in ('siglip', 'eva02', 'timesformer_space',
                              'timesformer_joint', 'mmpretrain') if host in HOSTS]


@pytest.mark.slow
@pytest.mark.parametrize('host, necks, training, backend', [
    *((host, 'kmedoids', True, 'eager') for host in COMPILED),
    ('videomae', 'two', True, 'eager'),
    # What is traced of necks is also taken apart, with its gradients.
    ('timm', 'kmedoids_mean', False, 'aot_eager'),
    ('clip', 'spectral', True, 'aot_eager'), ('clip', 'padding', True, 'aot_eager'),
    ('timm', 'tome', True, 'aot_eager')])
def test_compiles_to_one_graph(host, necks, training, backend, imgs):
    torch.compiler.reset()
    mask, _ = mask_of(HOSTS[host])
    tower = HOSTS[host].build(NECKS[necks]).train(training)
    compiled = torch.compile(tower.encode, fullgraph=True, backend=backend)
    with torch.set_grad_enabled(training):
        torch.manual_seed(0)
        got, _ = compiled(imgs, mask)
        torch.manual_seed(0)
        expected, _ = tower.encode(imgs, mask)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    if training:
        got.sum().backward()
        assert any(p.grad is not None for p in tower.parameters())
